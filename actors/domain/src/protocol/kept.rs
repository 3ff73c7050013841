//! Objects of which SM decides the keys: kept whole, as they were sent.

use serde_json::Value;

use super::field::kept_text;
use super::notes::Notes;
use super::reader::{Broken, Kind, Opened, Reader, Scalar};
use crate::event::KeptObject;

/// How much a kept object can hold: so many values at all depths together, of which an inner object
/// counts [`OBJECT_SIZE`] more. Protocol section 4 sets no limit; an address has twenty values. What
/// is larger is nonsense, and since JSON in memory is many times its text, it is ignored and counted
/// like a wrong type instead of being kept.
const MAX_KEPT_SIZE: usize = 512;

/// The weight of an inner object, which takes the memory of a dozen values for its first member.
const OBJECT_SIZE: usize = 8;

/// Reads a person or an address; null means not sent, another type is ignored.
pub(super) fn object(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Option<KeptObject>, Broken> {
    match reader.open(Kind::Object)? {
        Opened::Yes => {
            let mut room = Room {
                left: MAX_KEPT_SIZE,
                overrun: false,
            };
            let kept = members(reader, &mut room)?;
            if !room.overrun {
                return Ok(Some(kept));
            }
            notes.tolerate();
        }
        Opened::Null => {}
        Opened::Other => notes.tolerate(),
    }
    Ok(None)
}

/// How much more is kept.
struct Room {
    left: usize,
    overrun: bool,
}

impl Room {
    /// Takes up room. Once there is too little, nothing fits any more.
    const fn take(&mut self, size: usize) -> bool {
        match self.left.checked_sub(size) {
            Some(left) => self.left = left,
            None => self.overrun = true,
        }
        !self.overrun
    }
}

/// The members of an opened object. When keys become equal without their U+0000, the last one wins.
fn members(reader: &mut Reader<'_>, room: &mut Room) -> Result<KeptObject, Broken> {
    let mut kept = KeptObject::new();
    while let Some(key) = reader.key()? {
        if room.take(1) {
            let key = kept_text(key);
            let value = value(reader, room)?;
            kept.insert(key, value);
        } else {
            reader.skip()?;
        }
    }
    Ok(kept)
}

fn value(reader: &mut Reader<'_>, room: &mut Room) -> Result<Value, Broken> {
    match reader.peek()? {
        Kind::Object if !room.take(OBJECT_SIZE) => {
            reader.skip()?;
            Ok(Value::Null)
        }
        Kind::Object => {
            reader.open(Kind::Object)?;
            members(reader, room).map(Value::Object)
        }
        Kind::Array => {
            reader.open(Kind::Array)?;
            let mut kept = Vec::new();
            while reader.element()? {
                if room.take(1) {
                    kept.push(value(reader, room)?);
                } else {
                    reader.skip()?;
                }
            }
            Ok(Value::Array(kept))
        }
        _ => Ok(match reader.scalar()? {
            Scalar::Bool(truth) => Value::Bool(truth),
            Scalar::Text(text) => Value::String(kept_text(text)),
            // A number that no i64 holds exactly stays exact as its text.
            Scalar::Number(token) => match token.parse::<i64>() {
                Ok(number) => Value::Number(number.into()),
                Err(_) => Value::String(token.to_owned()),
            },
            Scalar::Null | Scalar::Composite => Value::Null,
        }),
    }
}
