//! Fields of one value: what each type of protocol section 4 accepts.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset};
use smol_str::SmolStr;

use super::notes::{Notes, Place, Why};
use super::reader::{Broken, Reader, Scalar};
use crate::ids::IdError;
use crate::money::Kopecks;
use crate::quantity::Quantity;

/// The longest weight that is kept, in characters.
const MAX_WEIGHT_CHARS: usize = 20;

/// A text as it is stored: U+0000 is legal JSON, but PostgreSQL text cannot hold it, so it is
/// removed (protocol section 4). The raw body in the journal keeps it.
pub(super) fn kept_text<T: for<'t> From<&'t str>>(text: &str) -> T {
    if text.contains('\0') {
        T::from(&text.replace('\0', ""))
    } else {
        T::from(text)
    }
}

/// An identifier: a string, or a JSON integer that is kept as its text. `None` for null.
pub(super) fn id<T>(scalar: Scalar<'_>, parse: fn(&str) -> Result<T, IdError>) -> Result<Option<T>, Why> {
    let text = match scalar {
        Scalar::Null => return Ok(None),
        Scalar::Text(text) => text,
        Scalar::Number(token) if token.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => token,
        _ => return Err(Cow::Borrowed("must be a string or an integer")),
    };
    parse(text).map(Some).map_err(|error| error.to_string().into())
}

/// An identifier that names another line; a blank text means that there is none, as null does.
pub(super) fn reference<T>(scalar: Scalar<'_>, parse: fn(&str) -> Result<T, IdError>) -> Result<Option<T>, Why> {
    match scalar {
        Scalar::Text(text) if text.trim().is_empty() => Ok(None),
        scalar => id(scalar, parse),
    }
}

/// An amount of money, as a string or a number; `""` and null mean unknown.
pub(super) fn price(reader: &mut Reader<'_>, notes: &mut Notes, place: Place) -> Result<Option<Kopecks>, Broken> {
    let read = match reader.scalar()? {
        Scalar::Null | Scalar::Text("") => Ok(None),
        Scalar::Text(text) | Scalar::Number(text) => Kopecks::parse_roubles(text)
            .map(Some)
            .map_err(|error| error.to_string().into()),
        _ => Err(Cow::Borrowed("must be a decimal string or a number, in roubles")),
    };
    Ok(notes.settle(place, read))
}

/// An amount of goods, as a number or a numeric string; null means not sent.
pub(super) fn quantity(reader: &mut Reader<'_>, notes: &mut Notes, place: Place) -> Result<Option<Quantity>, Broken> {
    let read = match reader.scalar()? {
        Scalar::Null => Ok(None),
        Scalar::Number(token) => Quantity::parse_json_number(token)
            .map(Some)
            .map_err(|error| error.to_string().into()),
        Scalar::Text(text) => Quantity::parse_text(text)
            .map(Some)
            .map_err(|error| error.to_string().into()),
        _ => Err(Cow::Borrowed("must be a number or a numeric string")),
    };
    Ok(notes.settle(place, read))
}

/// A moment as RFC 3339 text with an offset; null means not sent.
pub(super) fn moment(
    reader: &mut Reader<'_>,
    notes: &mut Notes,
    place: Place,
) -> Result<Option<DateTime<FixedOffset>>, Broken> {
    const EXPECTED: Why = Cow::Borrowed("must be a time in RFC 3339 with an offset, like 2026-11-24T15:00:00+03:00");
    let read = match reader.scalar()? {
        Scalar::Null => Ok(None),
        Scalar::Text(text) => DateTime::parse_from_rfc3339(text).map(Some).map_err(|_| EXPECTED),
        _ => Err(EXPECTED),
    };
    Ok(notes.settle(place, read))
}

/// A text; null means not sent and another type is ignored.
pub(super) fn text<T: for<'t> From<&'t str>>(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Option<T>, Broken> {
    match reader.scalar()? {
        Scalar::Text(text) => return Ok(Some(kept_text(text))),
        Scalar::Null => {}
        _ => notes.tolerate(),
    }
    Ok(None)
}

/// A text of which only the type is looked at.
pub(super) fn unused_text(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<(), Broken> {
    if !matches!(reader.scalar()?, Scalar::Text(_) | Scalar::Null) {
        notes.tolerate();
    }
    Ok(())
}

/// A truth value; null means not sent and another type is ignored.
pub(super) fn truth(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Option<bool>, Broken> {
    match reader.scalar()? {
        Scalar::Bool(truth) => return Ok(Some(truth)),
        Scalar::Null => {}
        _ => notes.tolerate(),
    }
    Ok(None)
}

/// Grams of a whole line as they were written, if that is plain digits with at most one inner point;
/// `""` and null mean not weighed and anything else is ignored.
pub(super) fn weight(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Option<SmolStr>, Broken> {
    match reader.scalar()? {
        Scalar::Text(text) | Scalar::Number(text) if is_weight(text) => return Ok(Some(text.into())),
        Scalar::Null | Scalar::Text("") => {}
        _ => notes.tolerate(),
    }
    Ok(None)
}

fn is_weight(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    text.len() <= MAX_WEIGHT_CHARS && digits(whole) && digits(decimals)
}
