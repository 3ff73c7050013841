//! Merging: what waits for one chat, into as few messages as hold it. Pure.
//!
//! An order is never torn apart to fill a message up: a block goes whole into the next message when
//! it does not fit, and over several only when it is longer than one.

use std::collections::{HashMap, HashSet, VecDeque};

use orderhook_actors::ports::{Rendered, WaitingNotice};
use orderhook_domain::ids::OrderId;
use orderhook_domain::notice::NoticeKind;

use super::markup::{MAX_UNITS, plain, split, units};
use super::texts::{Block, Texts};

/// A long line begins in the message that its order began in, if there is room for so much of it.
const MIN_PIECE_UNITS: usize = 300;

/// These notices of one chat, in order, as messages. Each row belongs to the last message that tells
/// of it: a message that is only the beginning of a long text has no rows. No more is rendered than is taken,
/// and the block that did not fit.
pub(super) fn render(texts: Texts, notices: &[WaitingNotice]) -> impl Iterator<Item = Rendered> {
    let mut blocks = blocks(texts, notices);
    let mut packer = Packer::default();
    std::iter::from_fn(move || {
        while packer.messages.is_empty() {
            let Some(block) = blocks.next() else {
                packer.finish();
                break;
            };
            packer.add(block);
        }
        packer.messages.pop_front()
    })
}

/// One block per notice, but one for all notices of an order that came and was cancelled.
fn blocks(texts: Texts, notices: &[WaitingNotice]) -> impl Iterator<Item = Block> {
    let mut of_order: HashMap<&OrderId, Vec<&WaitingNotice>> = HashMap::new();
    for waiting in notices {
        of_order.entry(&waiting.order_id).or_default().push(waiting);
    }
    let is_told = |all: &[&WaitingNotice], kind| all.iter().any(|waiting| waiting.notice.kind() == kind);
    let mut told = HashSet::new();
    notices.iter().filter_map(move |waiting| {
        let all = of_order.get(&waiting.order_id).map_or(&[][..], Vec::as_slice);
        if is_told(all, NoticeKind::New) && is_told(all, NoticeKind::Cancelled) {
            let is_first = told.insert(&waiting.order_id);
            return is_first.then(|| texts.came_and_went(waiting, all));
        }
        Some(texts.block(waiting))
    })
}

#[derive(Default)]
struct Packer {
    messages: VecDeque<Rendered>,
    /// The message that is being filled.
    lines: Vec<String>,
    length: usize,
    notices: Vec<(i64, NoticeKind)>,
    /// How many blocks it tells of, and what the first of them replies to.
    blocks: usize,
    reply_to: Option<i64>,
}

impl Packer {
    fn add(&mut self, block: Block) {
        let length = block.lines.iter().map(|line| units(line) + 1).sum::<usize>();
        // A gap before the block costs one line break more.
        if !self.lines.is_empty() && self.length + length + 1 > MAX_UNITS {
            self.finish();
        }
        if !self.lines.is_empty() {
            self.push(String::new());
        }
        self.begin(block.reply_to);
        if length <= MAX_UNITS {
            block.lines.into_iter().for_each(|line| self.push(line));
        } else {
            self.push_over_several(block.lines, &block.continued, block.reply_to);
        }
        self.notices.extend(block.notices);
    }

    fn push_over_several(&mut self, lines: Vec<String>, continued: &str, reply_to: Option<i64>) {
        let room = MAX_UNITS - units(continued) - 2;
        for line in lines {
            let left = MAX_UNITS.saturating_sub(self.length + 1);
            // Only a line that is longer than a message is itself torn.
            let is_longer = units(&line) > room;
            let first = if is_longer && left > MIN_PIECE_UNITS {
                left
            } else {
                room
            };
            for piece in split(&line, first.min(room), room) {
                if self.length + units(&piece) + 1 > MAX_UNITS {
                    self.finish();
                    self.begin(reply_to);
                    self.push(continued.to_owned());
                }
                self.push(piece);
            }
        }
    }

    fn begin(&mut self, reply_to: Option<i64>) {
        self.blocks += 1;
        self.reply_to = reply_to.filter(|_| self.blocks == 1);
    }

    /// Every line is counted with its line break; the last one has none.
    fn push(&mut self, line: String) {
        self.length += units(&line) + 1;
        self.lines.push(line);
    }

    fn finish(&mut self) {
        while self.lines.last().is_some_and(String::is_empty) {
            self.lines.pop();
        }
        if self.lines.is_empty() {
            return;
        }
        let html = self.lines.join("\n");
        let (notice_ids, kinds) = self.notices.drain(..).unzip();
        self.messages.push_back(Rendered {
            notice_ids,
            kinds,
            plain: plain(&html),
            html,
            reply_to: self.reply_to,
        });
        *self = Self {
            messages: std::mem::take(&mut self.messages),
            ..Self::default()
        };
    }
}
