//! Delivery through the Bot API.
//!
//! teloxide writes the request and knows the API's errors, but we carry the request ourselves:
//! teloxide sleeps 10 s on every 5xx, hides the HTTP status, and reads the whole message of an
//! answer of which we need only the id, so that a field it does not know would look like a failure.

mod answer;

use std::error::Error as _;

use futures_util::future::BoxFuture;
use orderhook_actors::ports::{Messenger, Rendered, RenderedMessages, SendError, WaitingNotice};
use teloxide::Bot;
use teloxide::payloads::{SendMessage, SendMessageSetters as _};
use teloxide::types::{ChatId, LinkPreviewOptions, MessageId, ParseMode, ReplyParameters};
use tokio::runtime::Handle;

use self::answer::Failure;
use super::markup::{split, units};
use super::merge;
use super::texts::Texts;

/// Text that is refused as too long although it is shorter than this is refused for another reason.
const SHORTEST_PIECE_UNITS: usize = 256;

/// Sends to Telegram. Has no `Debug`: the bot holds the token.
pub(super) struct BotMessenger {
    bot: Bot,
    texts: Texts,
    io: Handle,
}

impl BotMessenger {
    pub(super) const fn new(bot: Bot, texts: Texts, io: Handle) -> Self {
        Self { bot, texts, io }
    }
}

impl Messenger for BotMessenger {
    fn render<'a>(&self, notices: &'a [WaitingNotice]) -> RenderedMessages<'a> {
        Box::new(merge::render(self.texts, notices))
    }

    /// Runs on the I/O runtime, whoever awaits it, and to its end even if nobody does any more:
    /// a request that was begun may already have been delivered.
    fn send(&self, chat_id: i64, message: Rendered) -> BoxFuture<'static, Result<i64, SendError>> {
        let (bot, io) = (self.bot.clone(), self.io.clone());
        Box::pin(async move {
            match io.spawn(deliver(bot, chat_id, message)).await {
                Ok(result) => result,
                Err(_) => Err(SendError::Temporary("the I/O runtime stopped".to_owned())),
            }
        })
    }
}

/// One message in the best form that Telegram takes: HTML, else without the reply. When it does not take
/// the text, the same facts come back in another form: without markup, then in halves.
async fn deliver(bot: Bot, chat_id: i64, message: Rendered) -> Result<i64, SendError> {
    let (body, reply_to) = if message.html.is_empty() {
        (request(chat_id, message.plain.clone()), None)
    } else {
        let html = request(chat_id, message.html.clone()).parse_mode(ParseMode::Html);
        (html, message.reply_to.and_then(|id| i32::try_from(id).ok()))
    };
    let first = match reply_to {
        Some(id) => body
            .clone()
            .reply_parameters(ReplyParameters::new(MessageId(id)).allow_sending_without_reply()),
        None => body.clone(),
    };
    let mut sent = post(&bot, &first).await;
    if matches!(sent, Err(Failure::Reply)) {
        tracing::warn!(target: "orderhook::telegram", chat_id, "Telegram knows no such message to reply to; sending without a reply");
        sent = post(&bot, &body).await;
    }
    match sent {
        Err(Failure::Text(reason)) => Err(match otherwise(message) {
            Some(instead) => SendError::Refused { reason, instead },
            None => Failure::Text(reason).into(),
        }),
        other => other.map_err(SendError::from),
    }
}

/// The same facts in another form; `None` when there is none left.
fn otherwise(message: Rendered) -> Option<Vec<Rendered>> {
    let piece = |plain: String| Rendered {
        notice_ids: Vec::new(),
        kinds: Vec::new(),
        html: String::new(),
        plain,
        reply_to: None,
    };
    let mut pieces: Vec<Rendered> = if !message.html.is_empty() {
        vec![piece(message.plain)]
    } else if units(&message.plain) > SHORTEST_PIECE_UNITS {
        halves(&message.plain).into_iter().map(piece).collect()
    } else {
        return None;
    };
    let last = pieces.last_mut()?;
    (last.notice_ids, last.kinds) = (message.notice_ids, message.kinds);
    Some(pieces)
}

/// Whole lines, as many to a piece as make half of the text.
fn halves(text: &str) -> Vec<String> {
    let limit = units(text).div_ceil(2).max(SHORTEST_PIECE_UNITS / 2);
    let mut pieces: Vec<String> = Vec::new();
    for line in text.lines().flat_map(|line| split_plain(line, limit)) {
        match pieces.last_mut() {
            Some(piece) if units(piece) + 1 + units(&line) <= limit => {
                piece.push('\n');
                piece.push_str(&line);
            }
            _ => pieces.push(line),
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// [`split`] reads HTML; in plain text `<` and `&` are only characters.
fn split_plain(line: &str, limit: usize) -> Vec<String> {
    let (less, and) = ('\u{e000}', '\u{e001}');
    let hidden = line.replace('<', &less.to_string()).replace('&', &and.to_string());
    let shown = |piece: String| piece.replace(less, "<").replace(and, "&");
    split(&hidden, limit, limit).into_iter().map(shown).collect()
}

fn request(chat_id: i64, text: String) -> SendMessage {
    let no_preview = LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    };
    SendMessage::new(ChatId(chat_id), text).link_preview_options(no_preview)
}

async fn post(bot: &Bot, request: &SendMessage) -> Result<i64, Failure> {
    let mut url = bot.api_url();
    match url.path_segments_mut() {
        Ok(mut segments) => segments.push(&format!("bot{}", bot.token())).push("sendMessage"),
        Err(()) => {
            return Err(Failure::Other(SendError::Temporary(
                "the Bot API address is no base".to_owned(),
            )));
        }
    };
    let response = bot.client().post(url).json(request).send().await.map_err(network)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(network)?;
    answer::judge(status, &body)
}

/// In words for operations; the address, which holds the token, is taken out.
fn network(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut words = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    };
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    // Without a connection nothing went out; after that only an answer could tell.
    Failure::Other(if error.is_connect() {
        SendError::Temporary(words)
    } else {
        SendError::Unanswered(words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_plain_text_are_whole_lines_where_possible() {
        let line = "& <b> слово ".repeat(20).trim_end().to_owned();
        let pieces = halves(&[line.clone(), line.clone(), line.clone()].join("\n"));
        assert_eq!(pieces.join("\n"), [line.clone(), line.clone(), line].join("\n"));
        assert!(pieces.len() >= 2);
        let long = "а".repeat(3000);
        let pieces = halves(&long);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.concat(), long);
    }
}
