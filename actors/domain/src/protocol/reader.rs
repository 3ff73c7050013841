//! The JSON reader: the grammar and nothing but the grammar, in one pass and without a tree.
//!
//! # Objective
//! A pull reader over the body in which every byte is judged exactly once, also the bytes of values
//! that nobody wants. The tokens come from `jiter`; this module adds what it does not check:
//!
//! - strings that are skipped must be valid UTF-8 too (`jiter` only looks at their escapes);
//! - a byte that starts no value at all is an error right where a value is expected;
//! - the depth of nesting is counted here, so that the stack never decides.
//!
//! `jiter` itself refuses what the grammar refuses: leading zeros, `1.`, `.5`, `+1`, `NaN`,
//! `Infinity`, bare control characters and lone surrogates in strings, single quotes, comments,
//! trailing commas, UTF-16 and UTF-32. It also refuses a number with more than 4 300 digits before
//! the point, which the grammar allows: no amount, price or identifier has them.

use std::str;

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

/// The most levels of objects and arrays inside one another (protocol section 4).
const MAX_DEPTH: u8 = 128;

/// Why the bytes are no JSON document, and at which byte.
#[derive(Debug)]
pub(super) struct Broken {
    reason: JiterErrorType,
    index: usize,
}

impl Broken {
    fn new(reason: JsonErrorType, index: usize) -> Self {
        Self {
            reason: JiterErrorType::JsonError(reason),
            index,
        }
    }
}

impl From<JiterError> for Broken {
    fn from(error: JiterError) -> Self {
        Self {
            reason: error.error_type,
            index: error.index,
        }
    }
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

/// A value without inner values; an array or an object was skipped and is only named.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar<'r> {
    Null,
    Bool(bool),
    /// The number as it is written, because no machine number is as exact as its text.
    Number(&'r str),
    /// The text with its escapes resolved.
    Text(&'r str),
    Composite,
}

/// What came of the wish to enter an array or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// The reader stands before its first key or element.
    Yes,
    /// It was null, which is read.
    Null,
    /// It was something else, which is skipped.
    Other,
}

/// A cursor over one document. After [`Broken`] it must not be used again, except to explain it.
pub(super) struct Reader<'j> {
    json: Jiter<'j>,
    depth: u8,
    /// Whether an array or object was entered and its first key or element not yet asked for.
    opened: bool,
}

impl<'j> Reader<'j> {
    pub(super) fn new(document: &'j [u8]) -> Self {
        Self {
            json: Jiter::new(document),
            depth: 0,
            opened: false,
        }
    }

    /// The kind of the next value, which is not consumed.
    pub(super) fn peek(&mut self) -> Result<Kind, Broken> {
        match self.json.peek()? {
            Peek::Null => Ok(Kind::Null),
            Peek::True | Peek::False => Ok(Kind::Bool),
            Peek::String => Ok(Kind::Text),
            Peek::Array => Ok(Kind::Array),
            Peek::Object => Ok(Kind::Object),
            number if number.is_num() => Ok(Kind::Number),
            _ => Err(Broken::new(JsonErrorType::ExpectedSomeValue, self.json.current_index())),
        }
    }

    /// Reads the next value if it has no inner values, else skips it.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'_>, Broken> {
        match self.json.peek()? {
            Peek::String => Ok(Scalar::Text(self.json.known_str()?)),
            Peek::Null => {
                self.json.known_null()?;
                Ok(Scalar::Null)
            }
            truth @ (Peek::True | Peek::False) => Ok(Scalar::Bool(self.json.known_bool(truth)?)),
            number if number.is_num() => {
                let start = self.json.current_index();
                let token = self.json.known_number_bytes(number)?;
                // The token is digits, signs, points and exponents: always text.
                let token = str::from_utf8(token);
                token
                    .map(Scalar::Number)
                    .map_err(|_| Broken::new(JsonErrorType::InvalidNumber, start))
            }
            _ => {
                self.skip()?;
                Ok(Scalar::Composite)
            }
        }
    }

    /// Enters the next value if it is of the `wanted` kind, [`Kind::Array`] or [`Kind::Object`]; else passes it.
    pub(super) fn open(&mut self, wanted: Kind) -> Result<Opened, Broken> {
        let found = self.peek()?;
        if found == wanted {
            self.descend()?;
            self.opened = true;
            return Ok(Opened::Yes);
        }
        self.skip()?;
        Ok(if found == Kind::Null {
            Opened::Null
        } else {
            Opened::Other
        })
    }

    /// The next key of the innermost open object, or `None` after its end. The value must be consumed
    /// before the next call.
    pub(super) fn key(&mut self) -> Result<Option<&str>, Broken> {
        let key = match std::mem::take(&mut self.opened) {
            true => self.json.known_object()?,
            false => self.json.next_key()?,
        };
        if key.is_none() {
            self.depth -= 1;
        }
        Ok(key)
    }

    /// Whether the innermost open array has another element, which must be consumed before the next call.
    pub(super) fn element(&mut self) -> Result<bool, Broken> {
        let element = match std::mem::take(&mut self.opened) {
            true => self.json.known_array()?,
            false => self.json.array_step()?,
        };
        if element.is_none() {
            self.depth -= 1;
        }
        Ok(element.is_some())
    }

    /// Passes the next value, whatever it is, without allocating, but with every check of the grammar.
    pub(super) fn skip(&mut self) -> Result<(), Broken> {
        match self.peek()? {
            Kind::Null | Kind::Bool | Kind::Number => self.scalar().map(drop),
            Kind::Text => {
                let start = self.json.current_index() + 1;
                check_utf8(self.json.known_bytes()?, start)
            }
            Kind::Array => {
                self.descend()?;
                self.opened = true;
                while self.element()? {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::Object => {
                self.descend()?;
                let mut key = self.json.next_object_bytes()?;
                while let Some(bytes) = key {
                    if str::from_utf8(bytes).is_err() {
                        // Right after the key, whose own place is no longer known.
                        return Err(Broken::new(
                            JsonErrorType::InvalidUnicodeCodePoint,
                            self.json.current_index(),
                        ));
                    }
                    self.skip()?;
                    key = self.json.next_key_bytes()?;
                }
                self.depth -= 1;
                Ok(())
            }
        }
    }

    /// Checks that nothing but whitespace follows.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        Ok(self.json.finish()?)
    }

    /// What is wrong with the document and where, in plain English and without quoting it.
    pub(super) fn explain(&self, broken: &Broken) -> String {
        let reason = match &broken.reason {
            JiterErrorType::JsonError(JsonErrorType::RecursionLimitExceeded) => "nested deeper than 128 levels".into(),
            JiterErrorType::JsonError(JsonErrorType::InvalidUnicodeCodePoint) => "invalid UTF-8".into(),
            other => other.to_string(),
        };
        let position = self.json.error_position(broken.index);
        format!("must be one JSON document in UTF-8: {reason} at {position}")
    }

    fn descend(&mut self) -> Result<(), Broken> {
        if self.depth == MAX_DEPTH {
            return Err(Broken::new(
                JsonErrorType::RecursionLimitExceeded,
                self.json.current_index(),
            ));
        }
        self.depth += 1;
        Ok(())
    }
}

fn check_utf8(bytes: &[u8], start: usize) -> Result<(), Broken> {
    match str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Broken::new(
            JsonErrorType::InvalidUnicodeCodePoint,
            start + error.valid_up_to(),
        )),
    }
}
