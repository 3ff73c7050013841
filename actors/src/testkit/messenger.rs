//! A messenger in memory whose chats can be slow, refuse, or never answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::{Messenger, Rendered, RenderedMessages, SendError, WaitingNotice};

/// See the module. Cheap to clone; all clones are one messenger.
#[derive(Clone)]
pub struct MemoryMessenger {
    state: Arc<Mutex<State>>,
    /// How many calls have begun.
    calls: Arc<watch::Sender<usize>>,
}

struct State {
    sent: Vec<SentMessage>,
    answers: HashMap<i64, VecDeque<Result<(), SendError>>>,
    latencies: HashMap<i64, Duration>,
    per_message: usize,
    parts: usize,
    token_refused: bool,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// When it began.
    pub at: Instant,
    /// Where to.
    pub chat_id: i64,
    /// The rows that it told.
    pub notice_ids: Vec<i64>,
    /// The text.
    pub text: String,
    /// Whether it was taken.
    pub was_taken: bool,
}

impl Default for MemoryMessenger {
    /// Ten notices to a message; every chat takes 100 ms and everything.
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                sent: Vec::new(),
                answers: HashMap::new(),
                latencies: HashMap::new(),
                per_message: 10,
                parts: 1,
                token_refused: false,
            })),
            calls: Arc::new(watch::channel(0).0),
        }
    }
}

impl MemoryMessenger {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many notices fit into one message.
    pub fn merge_up_to(&self, per_message: usize) {
        self.state().per_message = per_message;
    }

    /// From now on every text takes so many messages, of which the last one has the rows.
    pub fn split_into(&self, parts: usize) {
        self.state().parts = parts;
    }

    /// This chat's answers take so long.
    pub fn slow(&self, chat_id: i64, latency: Duration) {
        self.state().latencies.insert(chat_id, latency);
    }

    /// This chat answers its next call with this. Later ones are taken.
    pub fn fail_next(&self, chat_id: i64, error: SendError) {
        self.state().answers.entry(chat_id).or_default().push_back(Err(error));
    }

    /// This chat takes its next call, before it fails further ones.
    pub fn take_next(&self, chat_id: i64) {
        self.state().answers.entry(chat_id).or_default().push_back(Ok(()));
    }

    /// Whether the token is refused, whoever is written to.
    pub fn refuse_token(&self, token_refused: bool) {
        self.state().token_refused = token_refused;
    }

    /// Every call so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<SentMessage> {
        self.state().sent.clone()
    }

    /// What this chat took, in the order in which the calls began.
    #[must_use]
    pub fn taken(&self, chat_id: i64) -> Vec<SentMessage> {
        let is_taken = |message: &SentMessage| message.chat_id == chat_id && message.was_taken;
        self.calls().into_iter().filter(is_taken).collect()
    }

    /// Waits until so many calls have begun since the start.
    pub async fn calls_begun(&self, count: usize) {
        // The sender lives as long as this messenger.
        let _ = self.calls.subscribe().wait_for(|calls| *calls >= count).await;
    }
}

impl Messenger for MemoryMessenger {
    fn render<'a>(&self, notices: &'a [WaitingNotice]) -> RenderedMessages<'a> {
        let (per_message, parts) = {
            let state = self.state();
            (state.per_message.max(1), state.parts)
        };
        let whole = notices.chunks(per_message).map(move |told| Rendered {
            notice_ids: told.iter().map(|notice| notice.notice_id).collect(),
            kinds: told.iter().map(|notice| notice.notice.kind()).collect(),
            html: String::new(),
            plain: String::new(),
            reply_to: told[0].first_message_id,
        });
        Box::new(whole.flat_map(move |whole| {
            let begin = Rendered {
                notice_ids: Vec::new(),
                kinds: Vec::new(),
                ..whole.clone()
            };
            std::iter::repeat_n(begin, parts.saturating_sub(1)).chain([whole])
        }))
    }

    fn send(&self, chat_id: i64, message: Rendered) -> BoxFuture<'static, Result<i64, SendError>> {
        let messenger = self.clone();
        async move {
            let (answer, latency, index) = {
                let mut state = messenger.state();
                let answer = state.answers.get_mut(&chat_id).and_then(VecDeque::pop_front);
                let answer = answer.unwrap_or(Ok(()));
                let answer = if state.token_refused {
                    Err(SendError::InvalidToken)
                } else {
                    answer
                };
                let latency = state.latencies.get(&chat_id).copied();
                state.sent.push(SentMessage {
                    at: Instant::now(),
                    chat_id,
                    notice_ids: message.notice_ids,
                    text: message.html,
                    was_taken: false,
                });
                (
                    answer,
                    latency.unwrap_or(Duration::from_millis(100)),
                    state.sent.len() - 1,
                )
            };
            messenger.calls.send_modify(|calls| *calls += 1);
            tokio::time::sleep(latency).await;
            answer?;
            messenger.state().sent[index].was_taken = true;
            Ok(i64::try_from(index).unwrap_or(i64::MAX))
        }
        .boxed()
    }
}
