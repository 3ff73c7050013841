//! Amounts of goods: exact decimals with at most three places (pieces, packs, kilograms).

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An amount between 0 and 1 000 000 with at most three decimals; 0 means the line was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(Decimal);

/// Why a text is no amount. The words complete the sentence "the quantity …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number, or a string with an exponent, sign or space.
    #[error("must be a decimal number")]
    NotNumeric,
    /// Below 0.
    #[error("must not be negative")]
    Negative,
    /// Above 1 000 000.
    #[error("must be at most 1000000")]
    TooLarge,
    /// A fourth decimal that is not zero.
    #[error("must have at most 3 decimals")]
    TooPrecise,
}

/// The largest power of ten that a digit of an allowed amount stands at.
const MAX_WHOLE_DIGITS: i64 = 7;
const MAX_DECIMALS: i64 = 3;
const MAX: i64 = 1_000_000;

impl Quantity {
    /// No goods: the amount of a removed line.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Reads a JSON number by its text; an exponent is allowed (protocol section 4).
    ///
    /// # Errors
    /// [`QuantityError`] when the number is negative, too large or too precise.
    pub fn parse_json_number(token: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        // An exponent with more digits than an i64 holds is out of range in either direction.
        let exponent = match exponent.map(|text| (text, text.parse::<i64>())) {
            None => 0,
            Some((_, Ok(exponent))) => exponent.clamp(-1_000_000_000, 1_000_000_000),
            Some((text, Err(_))) if text.starts_with('-') => -1_000_000_000,
            Some((_, Err(_))) => 1_000_000_000,
        };
        let quantity = Self::from_digits(mantissa, exponent)?;
        if negative && quantity != Self::ZERO {
            return Err(QuantityError::Negative);
        }
        Ok(quantity)
    }

    /// Reads a numeric string: digits with at most one inner point, no sign, no exponent.
    ///
    /// # Errors
    /// [`QuantityError`] when the text is anything else, too large or too precise.
    pub fn parse_text(text: &str) -> Result<Self, QuantityError> {
        if let Some(rest) = text.strip_prefix('-') {
            return Err(match Self::from_digits(rest, 0) {
                Err(QuantityError::NotNumeric) => QuantityError::NotNumeric,
                _ => QuantityError::Negative,
            });
        }
        Self::from_digits(text, 0)
    }

    /// `digits × 10^exponent`, without building a number as long as the text: only the digits that
    /// an allowed amount can have are ever looked at.
    fn from_digits(mantissa: &str, exponent: i64) -> Result<Self, QuantityError> {
        let mantissa = mantissa.as_bytes();
        let (whole, decimals) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
            None => (mantissa, &b"0"[..]),
        };
        let numeric = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        if !numeric(whole) || !numeric(decimals) {
            return Err(QuantityError::NotNumeric);
        }
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
        let mut thousandths: i64 = 0;
        let mut too_precise = false;
        for (index, byte) in whole.iter().chain(decimals).enumerate() {
            let digit = i64::from(byte - b'0');
            if digit == 0 {
                continue;
            }
            // 0 for the digit right before the point, -1 for the first decimal.
            let power = point - 1 - i64::try_from(index).unwrap_or(i64::MAX);
            if power >= MAX_WHOLE_DIGITS {
                return Err(QuantityError::TooLarge);
            }
            match u32::try_from(power + MAX_DECIMALS) {
                Ok(shift) => thousandths += digit * 10_i64.pow(shift),
                Err(_) => too_precise = true,
            }
        }
        if thousandths > MAX * 1000 || (thousandths == MAX * 1000 && too_precise) {
            return Err(QuantityError::TooLarge);
        }
        if too_precise {
            return Err(QuantityError::TooPrecise);
        }
        // Without trailing zeros; `Decimal::normalize` divides a number of 96 bits for each.
        let mut scale = 3;
        while scale > 0 && thousandths % 10 == 0 {
            thousandths /= 10;
            scale -= 1;
        }
        Ok(Self(Decimal::new(thousandths, scale)))
    }

    /// The exact decimal, without trailing zeros.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// Whether it is no whole number: only what is sold by weight is sold in parts.
    #[must_use]
    pub fn is_fractional(self) -> bool {
        !self.0.fract().is_zero()
    }

    /// Whether the line was removed.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

/// Without trailing zeros and with a point: `2`, `0.742`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(result: Result<Quantity, QuantityError>) -> String {
        result.map_or_else(|error| error.to_string(), |quantity| quantity.to_string())
    }

    #[test]
    fn json_numbers_of_every_shape() {
        for (token, expected) in [
            ("2", "2"),
            ("5.0", "5"),
            ("0.742", "0.742"),
            ("1e1", "10"),
            ("12.5E-1", "1.25"),
            ("1250000e-3", "1250"),
            ("0e999999999999999999999", "0"),
            ("-0.0", "0"),
            ("1000000", "1000000"),
            ("1.500000000000000000000000000000000000", "1.5"),
            ("1000000.001", "must be at most 1000000"),
            ("1000000.0001", "must be at most 1000000"),
            ("1e308", "must be at most 1000000"),
            ("1e-99999999999999999999", "must have at most 3 decimals"),
            ("0.0001", "must have at most 3 decimals"),
            ("-1", "must not be negative"),
        ] {
            assert_eq!(shown(Quantity::parse_json_number(token)), expected, "{token}");
        }
    }

    #[test]
    fn strings_are_stricter_than_numbers() {
        for (text, expected) in [
            ("2", "2"),
            ("0.742", "0.742"),
            ("1e1", "must be a decimal number"),
            ("+1", "must be a decimal number"),
            (" 1", "must be a decimal number"),
            ("1,5", "must be a decimal number"),
            ("1.", "must be a decimal number"),
            (".5", "must be a decimal number"),
            ("", "must be a decimal number"),
            ("-", "must be a decimal number"),
            ("NaN", "must be a decimal number"),
            ("две", "must be a decimal number"),
            ("-1", "must not be negative"),
        ] {
            assert_eq!(shown(Quantity::parse_text(text)), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_exact_decimal_arithmetic(mantissa in 0_i64..2_000_000_000, scale in 0_u32..9) {
            let exact = Decimal::new(mantissa, scale).normalize();
            let read = Quantity::parse_text(&Decimal::new(mantissa, scale).to_string());
            if exact > Decimal::from(MAX) {
                prop_assert_eq!(read, Err(QuantityError::TooLarge));
            } else if exact.scale() > 3 {
                prop_assert_eq!(read, Err(QuantityError::TooPrecise));
            } else {
                prop_assert_eq!(read.unwrap().decimal(), exact);
            }
        }
    }
}
