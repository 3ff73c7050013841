//! Values as Russian readers expect them, and outside text made harmless. No words of ours here:
//! those are in the templates.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, FixedOffset, TimeDelta, Utc};
use chrono_tz::Tz;
use orderhook_domain::event::Window;
use orderhook_domain::money::Kopecks;
use orderhook_domain::quantity::Quantity;

const NO_BREAK_SPACE: char = '\u{a0}';

/// `1 234,50 ₽`, with no-break spaces so that a sum never stands on two lines of a narrow screen.
pub(super) fn roubles(money: Kopecks) -> String {
    format!("{}{NO_BREAK_SPACE}₽", russian(&money.to_string()))
}

/// `2` or `0,742 кг`. The protocol has no unit: what is sold in parts is sold by weight, and a whole number
/// may be pieces or kilograms.
pub(super) fn amount(quantity: Quantity) -> Amount {
    Amount {
        number: russian(&quantity.to_string()),
        by_weight: quantity.is_fractional(),
    }
}

/// Two amounts of one line: if either is a weight, both are (`1 кг → 0,742 кг`).
pub(super) fn amounts(old: Quantity, new: Quantity) -> (Amount, Amount) {
    let by_weight = old.is_fractional() || new.is_fractional();
    let both = |quantity: Quantity| Amount {
        by_weight,
        ..amount(quantity)
    };
    (both(old), both(new))
}

/// An amount of goods; the template writes the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount {
    /// With a comma and grouped thousands.
    pub(super) number: String,
    /// Kilograms; else the unit is not known.
    pub(super) by_weight: bool,
}

/// A decimal with a comma, and no-break spaces between thousands.
fn russian(decimal: &str) -> String {
    let (whole, decimals) = decimal.split_once('.').unwrap_or((decimal, ""));
    let mut text = String::with_capacity(decimal.len() + 8);
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(NO_BREAK_SPACE);
        }
        text.push(digit);
    }
    if !decimals.is_empty() {
        text.push(',');
        text.push_str(decimals);
    }
    text
}

/// The three forms that a Russian noun takes after a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plural {
    /// 1, 21: позиция
    One,
    /// 2–4, 22: позиции
    Few,
    /// 0, 5–20, 111: позиций
    Many,
}

impl Plural {
    /// The form after `number`.
    pub(super) const fn of(number: usize) -> Self {
        match (number % 100, number % 10) {
            (11..=14, _) => Self::Many,
            (_, 1) => Self::One,
            (_, 2..=4) => Self::Few,
            _ => Self::Many,
        }
    }
}

/// A delivery window in the shop's time zone; the template writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WindowWords {
    pub(super) from: Option<Moment>,
    pub(super) to: Option<Moment>,
}

/// A point in time in the shop's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) day: u32,
    /// 1 to 12.
    pub(super) month: u32,
    /// Only when it is not the year of the notice: a window of next year, or a mistake, must be seen.
    pub(super) year: Option<i32>,
    /// `15:00`
    pub(super) time: String,
}

/// When something happened that is told late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) at: Moment,
    /// The day need not be named.
    pub(super) is_today: bool,
}

/// What is told sooner is told in time.
const LATE: Duration = Duration::from_secs(3 * 60);

impl Late {
    pub(super) fn of(at: DateTime<Utc>, waited: Duration, zone: Tz) -> Option<Self> {
        let now = at + TimeDelta::from_std(waited).ok().filter(|_| waited >= LATE)?;
        let (at, now) = (at.with_timezone(&zone), now.with_timezone(&zone));
        Some(Self {
            at: Moment {
                day: at.day(),
                month: at.month(),
                year: Some(at.year()).filter(|year| *year != now.year()),
                time: at.format("%H:%M").to_string(),
            },
            is_today: at.date_naive() == now.date_naive(),
        })
    }
}

impl WindowWords {
    /// `None` when neither end is known.
    pub(super) fn of(window: Window, zone: Tz, told_at: DateTime<Utc>) -> Option<Self> {
        let this_year = told_at.with_timezone(&zone).year();
        let moment = |time: DateTime<FixedOffset>| {
            let local = time.with_timezone(&zone);
            Moment {
                day: local.day(),
                month: local.month(),
                year: Some(local.year()).filter(|year| *year != this_year),
                time: local.format("%H:%M").to_string(),
            }
        };
        let words = Self {
            from: window.from.map(moment),
            to: window.to.map(moment),
        };
        (words.from.is_some() || words.to.is_some()).then_some(words)
    }

    /// Whether the day need be named once only.
    pub(super) fn is_within_a_day(&self) -> bool {
        let day = |moment: &Option<Moment>| moment.as_ref().map(|at| (at.day, at.month, at.year));
        day(&self.from) == day(&self.to)
    }
}

/// Outside text in one line of at most `max_chars` characters (then `…`); `None` when nothing is left.
///
/// Line breaks become spaces, so that nobody can write a line that looks like ours. Characters that
/// turn the direction of all that follows are taken out, and right-to-left text is isolated, so that
/// the rest of the line stays where it is.
pub(super) fn outside(text: &str, max_chars: usize) -> Option<String> {
    let mut line = String::with_capacity(text.len().min(max_chars * 4));
    let mut broken = false;
    let mut kept = 0;
    let mut is_cut = false;
    let visible = text.trim().chars().filter(|shown| !turns_direction(*shown));
    for shown in visible {
        let breaks = shown.is_control() || matches!(shown, '\u{2028}' | '\u{2029}');
        if breaks || (broken && shown == ' ') {
            broken = true;
            continue;
        }
        if kept == max_chars {
            is_cut = true;
            break;
        }
        if std::mem::take(&mut broken) && !line.ends_with(' ') {
            line.push(' ');
        }
        line.push(shown);
        kept += 1;
    }
    let has_right_to_left = line.chars().any(is_right_to_left);
    let line = format!("{}{}", line.trim(), if is_cut { "…" } else { "" });
    match (line.is_empty(), has_right_to_left) {
        (true, _) => None,
        (false, false) => Some(line),
        (false, true) => Some(format!("\u{2068}{line}\u{2069}")),
    }
}

const fn turns_direction(shown: char) -> bool {
    matches!(shown, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const fn is_right_to_left(shown: char) -> bool {
    matches!(shown, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_grouped_and_never_torn() {
        for (kopecks, shown) in [
            (5, "0,05\u{a0}₽"),
            (8990, "89,90\u{a0}₽"),
            (123_450, "1\u{a0}234,50\u{a0}₽"),
            (99_999_999_999_999, "999\u{a0}999\u{a0}999\u{a0}999,99\u{a0}₽"),
            (-123_450, "-1\u{a0}234,50\u{a0}₽"),
            (-12_345, "-123,45\u{a0}₽"),
        ] {
            assert_eq!(roubles(Kopecks::new(kopecks)), shown);
        }
    }

    #[test]
    fn an_amount_with_decimals_is_a_weight() {
        let of = |text| amount(Quantity::parse_text(text).unwrap());
        assert_eq!(
            of("2"),
            Amount {
                number: "2".into(),
                by_weight: false
            }
        );
        assert_eq!(
            of("0.742"),
            Amount {
                number: "0,742".into(),
                by_weight: true
            }
        );
        assert_eq!(
            of("1000000"),
            Amount {
                number: "1\u{a0}000\u{a0}000".into(),
                by_weight: false
            }
        );
        let (old, new) = amounts(
            Quantity::parse_text("1").unwrap(),
            Quantity::parse_text("0.98").unwrap(),
        );
        assert!(old.by_weight && new.by_weight);
    }

    #[test]
    fn numbers_choose_the_form_of_the_noun() {
        for (number, form) in [
            (0, Plural::Many),
            (1, Plural::One),
            (2, Plural::Few),
            (4, Plural::Few),
            (5, Plural::Many),
        ] {
            assert_eq!(Plural::of(number), form, "{number}");
        }
        for (number, form) in [
            (11, Plural::Many),
            (12, Plural::Many),
            (21, Plural::One),
            (103, Plural::Few),
            (111, Plural::Many),
        ] {
            assert_eq!(Plural::of(number), form, "{number}");
        }
    }

    #[test]
    fn outside_text_cannot_write_lines_of_its_own() {
        assert_eq!(outside(" a\r\n\n b\tc  d \u{0}", 99).as_deref(), Some("a b c  d"));
        assert_eq!(outside(" \n\u{202e} ", 99), None);
        assert_eq!(outside("слово", 3).as_deref(), Some("сло…"));
        assert_eq!(outside("слово", 5).as_deref(), Some("слово"));
    }

    #[test]
    fn outside_text_cannot_turn_the_line_around() {
        assert_eq!(outside("\u{202e}abc\u{2069}", 99).as_deref(), Some("abc"));
        assert_eq!(outside("שלום", 99).as_deref(), Some("\u{2068}שלום\u{2069}"));
    }
}
