//! Notices as Russian texts in Telegram's HTML mode. The words are in `templates/`.
//!
//! Most important first: a phone shows the number and what happened in
//! its notification, before the message is opened.

mod changes;
mod view;
mod words;

use askama::Template;
use chrono_tz::Tz;
use orderhook_actors::ports::WaitingNotice;
use orderhook_domain::diff::TextDifference;
use orderhook_domain::event::CancelReason;
use orderhook_domain::ids::ProductId;
use orderhook_domain::notice::{Cancelled, Changed, NewOrder, Notice, NoticeKind, NoticeLine};
use orderhook_domain::order::Status;

use self::changes::changed_lines;
use self::view::{
    CameAndWent, CancelledText, ChangedFoot, ChangedHead, ChangedMore, Continued, Goods, NewFoot, NewHead, NewLine,
    NewMore, Order, OrderNow,
};
use self::words::{Amount, Late, WindowWords, amount, outside, roubles};
use super::markup::{MAX_UNITS, units};

/// The most characters of a customer's comment: as many as Telegram lets a person write.
const MAX_COMMENT_CHARS: usize = 4096;
/// The most characters of a comment that no longer counts: enough to recognise it.
const MAX_OLD_COMMENT_CHARS: usize = 300;
/// The most characters of the name of goods.
const MAX_NAME_CHARS: usize = 100;
/// The most characters of a reason or a slug that we have no words for; also of identifiers, which
/// have at most 255.
const MAX_WORD_CHARS: usize = 255;
/// A longer foot of an order goes into a message of its own rather than take the lines' place.
const MAX_FOOT_UNITS: usize = 1024;

/// What is told of one order at one place of a chat: whole lines of HTML, each with balanced tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The rows that it tells.
    pub(super) notices: Vec<(i64, NoticeKind)>,
    /// An empty line is a gap.
    pub(super) lines: Vec<String>,
    /// The first line of every further message, should the lines not fit into one.
    pub(super) continued: String,
    /// The message to reply to, if this is all that a message tells.
    pub(super) reply_to: Option<i64>,
}

/// Writes the texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts {
    /// The shop's time zone, for the delivery windows.
    pub(super) time_zone: Tz,
}

impl Texts {
    /// One notice.
    pub(super) fn block(self, waiting: &WaitingNotice) -> Block {
        let order = self.order(waiting, waiting.maybe_sent);
        let lines = match &waiting.notice {
            Notice::New(new) => self.new_order(&order, new, waiting),
            Notice::Changed(changed) => self.changed(&order, changed, waiting),
            Notice::Cancelled(cancelled) => cancelled_lines(&order, cancelled),
        };
        Block {
            notices: vec![(waiting.notice_id, waiting.notice.kind())],
            lines,
            continued: shown(&Continued { order: &order }),
            reply_to: waiting
                .first_message_id
                .filter(|_| waiting.notice.kind() != NoticeKind::New),
        }
    }

    fn order(self, waiting: &WaitingNotice, maybe_sent: bool) -> Order {
        Order {
            number: number(waiting),
            sm_id: id(waiting.order_id.as_str()),
            store: id(waiting.store_id.as_str()),
            late: Late::of(waiting.created_at, waiting.waited, self.time_zone),
            maybe_sent,
        }
    }

    /// An order as it is now: the text of a new order under another title.
    pub(super) fn order_now(self, as_new: &WaitingNotice, status: Status, conflict: bool) -> String {
        let mut lines = self.block(as_new).lines;
        let order = self.order(as_new, false);
        if let Some(title) = lines.first_mut() {
            *title = shown(&OrderNow {
                order: &order,
                status,
                conflict,
            });
        }
        lines.join("\n")
    }

    /// All notices of an order that came and was cancelled before anybody was told: one line.
    pub(super) fn came_and_went(self, first: &WaitingNotice, all: &[&WaitingNotice]) -> Block {
        let mut order = self.order(first, all.iter().any(|waiting| waiting.maybe_sent));
        order.number = all.iter().find_map(|waiting| number(waiting));
        let reason = all.iter().rev().find_map(|waiting| match &waiting.notice {
            Notice::Cancelled(cancelled) => Some(&cancelled.reason),
            Notice::New(_) | Notice::Changed(_) => None,
        });
        let (slug, description) = reason.map(reason_words).unwrap_or_default();
        Block {
            notices: all
                .iter()
                .map(|waiting| (waiting.notice_id, waiting.notice.kind()))
                .collect(),
            lines: lines(&CameAndWent {
                order: &order,
                slug,
                description,
            }),
            continued: shown(&Continued { order: &order }),
            reply_to: None,
        }
    }

    /// A big order is cut to what one message holds, so that its lines are not torn apart.
    fn new_order(self, order: &Order, new: &NewOrder, waiting: &WaitingNotice) -> Vec<String> {
        let sum = new.total.discount_price.or(new.total.price);
        let head = lines(&NewHead {
            order,
            window: WindowWords::of(new.window, self.time_zone, waiting.created_at),
            method: word(new.shipping_method.as_deref()),
            sum: sum.map(roubles),
            full_sum: new.total.price.filter(|price| Some(*price) != sum).map(roubles),
            count: new.line_count,
        });
        let foot = lines(&NewFoot {
            policy: word(new.replacement_policy.as_deref()),
            comment: new.comment.as_deref().and_then(|text| outside(text, MAX_COMMENT_CHARS)),
        });
        let foot_units = Some(joined_units(&foot))
            .filter(|length| *length <= MAX_FOOT_UNITS)
            .unwrap_or(0);
        // Two gaps between the three parts, and the line that counts what is left out.
        let room = MAX_UNITS.saturating_sub(joined_units(&head) + foot_units + 40);
        let mut body = Vec::new();
        let mut length = 0;
        for (index, line) in new.lines.iter().enumerate() {
            let text = shown(&new_line(index + 1, line));
            length += units(&text) + 1;
            if length > room {
                break;
            }
            body.push(text);
        }
        let left_out = new.line_count.max(new.lines.len()) - body.len();
        if left_out > 0 {
            body.push(shown(&NewMore { count: left_out }));
        }
        parts([head, body, foot])
    }

    fn changed(self, order: &Order, changed: &Changed, waiting: &WaitingNotice) -> Vec<String> {
        let difference = &changed.difference;
        let window = |window| WindowWords::of(window, self.time_zone, waiting.created_at);
        let mut body: Vec<String> = changed_lines(&difference.lines).iter().map(shown).collect();
        let left_out = changed.line_change_count.saturating_sub(difference.lines.len());
        if left_out > 0 {
            body.push(shown(&ChangedMore { count: left_out }));
        }
        let foot = lines(&ChangedFoot {
            window: difference
                .window
                .as_ref()
                .map(|change| (window(change.old), window(change.new))),
            method: difference.shipping_method.as_ref().map(words_of),
            policy: difference.replacement_policy.as_ref().map(words_of),
            comment: difference.comment.as_ref().map(|change| {
                let comment = |text: &Option<String>, most| text.as_deref().and_then(|text| outside(text, most));
                (
                    comment(&change.old, MAX_OLD_COMMENT_CHARS),
                    comment(&change.new, MAX_COMMENT_CHARS),
                )
            }),
        });
        body.extend(foot);
        parts([lines(&ChangedHead { order }), body, Vec::new()])
    }
}

fn cancelled_lines(order: &Order, cancelled: &Cancelled) -> Vec<String> {
    let (slug, description) = reason_words(&cancelled.reason);
    lines(&CancelledText {
        order,
        slug,
        description,
    })
}

fn new_line(index: usize, line: &NoticeLine) -> NewLine {
    NewLine {
        index,
        goods: goods(&line.product_id, line.name.as_deref()),
        amount: Amount {
            by_weight: line.by_weight || line.quantity.is_fractional(),
            ..amount(line.quantity)
        },
        price: line.price.map(roubles),
    }
}

fn number(waiting: &WaitingNotice) -> Option<String> {
    waiting
        .number
        .as_ref()
        .and_then(|number| outside(&number.0, MAX_WORD_CHARS))
}

fn goods(sku: &ProductId, name: Option<&str>) -> Goods {
    Goods {
        sku: id(sku.as_str()),
        name: name.and_then(|name| outside(name, MAX_NAME_CHARS)),
    }
}

/// An identifier of nothing but invisible characters is still an identifier.
fn id(text: &str) -> String {
    outside(text, MAX_WORD_CHARS).unwrap_or_else(|| "?".to_owned())
}

fn word(text: Option<&str>) -> Option<String> {
    text.and_then(|text| outside(text, MAX_WORD_CHARS))
}

fn words_of(change: &TextDifference) -> (Option<String>, Option<String>) {
    (word(change.old.as_deref()), word(change.new.as_deref()))
}

/// The slug and the description, unless that only repeats the slug.
fn reason_words(reason: &CancelReason) -> (Option<String>, Option<String>) {
    let description = reason
        .description
        .as_deref()
        .filter(|text| reason.slug.as_deref() != Some(*text));
    (word(reason.slug.as_deref()), word(description))
}

/// The parts that are not empty, with a gap between them.
fn parts(parts: [Vec<String>; 3]) -> Vec<String> {
    let mut all = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !all.is_empty() {
            all.push(String::new());
        }
        all.extend(part);
    }
    all
}

fn joined_units(lines: &[String]) -> usize {
    lines.iter().map(|line| units(line) + 1).sum()
}

/// The lines of a text that are not blank: what a template leaves out leaves no gap.
fn lines(template: &impl Template) -> Vec<String> {
    shown(template)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shown(template: &impl Template) -> String {
    // Only a `Display` that fails, or an error made by a template, could fail here; there is neither.
    // The text that was written until then is lost in that case, never the notice.
    template.render().unwrap_or_default()
}
