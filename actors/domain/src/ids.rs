//! Identifiers: opaque, case-sensitive texts that are checked once, on the way in.
//!
//! SM sends some of them as JSON integers; the parser keeps those as their text, so that leading
//! zeros of the texts matter and nothing is ever computed with an identifier.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

/// The longest identifier in characters (protocol section 4: the merchant-side schema allows 255).
pub const MAX_ID_CHARS: usize = 255;

/// Why a text is no identifier. The words complete the sentence "the identifier …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing but whitespace, or nothing at all.
    #[error("must not be blank")]
    Blank,
    /// More than [`MAX_ID_CHARS`] characters.
    #[error("must have at most 255 characters")]
    TooLong,
    /// `\u0000` is legal JSON, but PostgreSQL text cannot hold it, and removing it would make two
    /// identifiers one.
    #[error("must not contain the character U+0000")]
    Nul,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Blank);
    }
    if text.contains('\0') {
        return Err(IdError::Nul);
    }
    // A text of at most 255 bytes cannot have more characters than that; count only the others.
    if text.len() > MAX_ID_CHARS && text.chars().count() > MAX_ID_CHARS {
        return Err(IdError::TooLong);
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// Takes the text as it is: 1 to 255 characters, not blank, without U+0000.
            ///
            /// # Errors
            /// [`IdError`] says which of these does not hold.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The text as SM sent it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = IdError;
            fn try_from(text: SmolStr) -> Result<Self, IdError> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

text_id! {
    /// SM's `originalOrderId`: the key of an order.
    OrderId
}
text_id! {
    /// The partner's store, as SM names it (`store_id` or `storeID`).
    StoreId
}
text_id! {
    /// The partner's own article number (SKU), `positions[].id`.
    ProductId
}

/// The partner's order number, given by the database when the document is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(pub Arc<str>);

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One arrival of one hook. A second try of the same arrival by nginx has the same id. It begins with the time at
/// which nginx had the request, if that is known, so that ids in their order are nearly in that of their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Uuid);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_text_to_the_letter() {
        let id = OrderId::parse("'; DROP TABLE \"../х\"").unwrap();
        assert_eq!(id.as_str(), "'; DROP TABLE \"../х\"");
        assert_ne!(OrderId::parse("h1").unwrap(), OrderId::parse("H1").unwrap());
        assert_ne!(ProductId::parse("007").unwrap(), ProductId::parse("7").unwrap());
    }

    #[test]
    fn the_limit_counts_characters_not_bytes() {
        assert!(OrderId::parse(&"я".repeat(255)).is_ok());
        assert_eq!(OrderId::parse(&"я".repeat(256)), Err(IdError::TooLong));
    }

    #[test]
    fn blank_and_nul_are_refused() {
        assert_eq!(OrderId::parse(""), Err(IdError::Blank));
        assert_eq!(OrderId::parse(" \t\u{a0}"), Err(IdError::Blank));
        assert_eq!(OrderId::parse("H\0"), Err(IdError::Nul));
    }
}
