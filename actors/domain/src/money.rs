//! Money: integer kopecks, read from decimal text without any float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in kopecks (1/100 rouble), never negative when it comes from SM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kopecks(i64);

/// Why a text is no amount of money. The words complete the sentence "the price …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// A sign, comma, space, exponent or letter: money is never guessed.
    #[error("must be decimal digits with at most one point, without sign, comma, space or exponent")]
    NotDecimal,
    /// More than twelve digits before the point.
    #[error("must have at most 12 digits before the point")]
    TooLarge,
}

/// The most digits before the point (protocol section 4), leading zeros not counted.
const MAX_WHOLE_DIGITS: usize = 12;

impl Kopecks {
    /// An amount that is already known in kopecks, for example from the database.
    #[must_use]
    pub const fn new(kopecks: i64) -> Self {
        Self(kopecks)
    }

    /// The amount in kopecks.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Reads roubles as decimal text (`"89.90"`, `"89.9"`, `"349"`).
    /// Decimals beyond kopecks are rounded half away from zero (protocol section 4).
    ///
    /// # Errors
    /// [`MoneyError`] when the text is anything but digits with at most one inner point, or too large.
    pub fn parse_roubles(text: &str) -> Result<Self, MoneyError> {
        // Bytewise: a body has dozens of prices, each of a few characters, for which a search by words is slow.
        let text = text.as_bytes();
        let (whole, decimals) = match text.iter().position(|byte| *byte == b'.') {
            Some(point) if point + 1 < text.len() => (&text[..point], &text[point + 1..]),
            Some(_) => return Err(MoneyError::NotDecimal),
            None => (text, &[][..]),
        };
        if whole.is_empty() || !whole.iter().chain(decimals).all(u8::is_ascii_digit) {
            return Err(MoneyError::NotDecimal);
        }
        let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
        let whole = &whole[zeros..];
        if whole.len() > MAX_WHOLE_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let decimal = |index: usize| i64::from(decimals.get(index).map_or(0, |byte| byte - b'0'));
        let roubles = whole.iter().fold(0_i64, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        let rounding = i64::from(decimal(2) >= 5);
        Ok(Self(roubles * 100 + decimal(0) * 10 + decimal(1) + rounding))
    }
}

/// Roubles with two decimals and a point: `855.80`.
impl fmt::Display for Kopecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let kopecks = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", kopecks / 100, kopecks % 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn roubles_become_exact_kopecks() {
        for (text, kopecks) in [
            ("89.90", 8990),
            ("89.9", 8990),
            ("349", 34900),
            ("0", 0),
            ("0.004", 0),
            ("0.005", 1),
            ("1.00499999", 100),
            ("1.995", 200),
            ("0000000000000000012.00", 1200),
            ("999999999999.99", 99_999_999_999_999),
        ] {
            assert_eq!(Kopecks::parse_roubles(text), Ok(Kopecks::new(kopecks)), "{text}");
        }
    }

    #[test]
    fn anything_but_plain_digits_is_refused() {
        for text in [
            "", ".", "1.", ".5", "1,5", "-1", "+1", "1e2", "1 000", " 1", "1.2.3", "NaN", "１",
        ] {
            assert_eq!(Kopecks::parse_roubles(text), Err(MoneyError::NotDecimal), "{text:?}");
        }
        assert_eq!(Kopecks::parse_roubles("1000000000000"), Err(MoneyError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(kopecks in 0_i64..100_000_000_000_000) {
            let money = Kopecks::new(kopecks);
            prop_assert_eq!(Kopecks::parse_roubles(&money.to_string()), Ok(money));
        }
    }
}
