//! Moments as JSON, in the words of chrono's own serialisation (RFC 3339), for less.
//!
//! Chrono writes a moment character by character, and a JSON serialiser looks at each write for what must be
//! escaped. Here the text is made first and given away in one piece.

use chrono::{DateTime, SecondsFormat, TimeZone};
use serde::{Serialize as _, Serializer};

/// For `serialize_with` of a moment.
///
/// # Errors
/// Those of the serialiser.
pub(crate) fn serialize<Tz: TimeZone, S: Serializer>(moment: &DateTime<Tz>, serializer: S) -> Result<S::Ok, S::Error>
where
    Tz::Offset: std::fmt::Display,
{
    serializer.serialize_str(&text(moment))
}

/// For `serialize_with` of a moment that may be missing.
///
/// # Errors
/// Those of the serialiser.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub(crate) fn serialize_optional<Tz: TimeZone, S: Serializer>(
    moment: &Option<DateTime<Tz>>,
    serializer: S,
) -> Result<S::Ok, S::Error>
where
    Tz::Offset: std::fmt::Display,
{
    moment.as_ref().map(text).serialize(serializer)
}

fn text<Tz: TimeZone>(moment: &DateTime<Tz>) -> String
where
    Tz::Offset: std::fmt::Display,
{
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Utc};
    use proptest::prelude::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Ours {
        #[serde(serialize_with = "super::serialize")]
        utc: chrono::DateTime<Utc>,
        #[serde(serialize_with = "super::serialize_optional")]
        local: Option<chrono::DateTime<FixedOffset>>,
    }

    #[derive(Serialize)]
    struct Theirs {
        utc: chrono::DateTime<Utc>,
        local: Option<chrono::DateTime<FixedOffset>>,
    }

    proptest! {
        // Digests of what was stored before depend on it.
        #[test]
        fn a_moment_reads_as_chrono_writes_it(
            seconds in -70_000_000_000_i64..300_000_000_000,
            nanos in prop_oneof![
                Just(0),
                (0_u32..1000).prop_map(|millis| millis * 1_000_000),
                (0_u32..1_000_000).prop_map(|micros| micros * 1000),
                0_u32..1_000_000_000,
            ],
            minutes in prop::option::of(-1439_i32..1440),
        ) {
            let utc = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
            let local = minutes.map(|minutes| utc.with_timezone(&FixedOffset::east_opt(minutes * 60).unwrap()));
            prop_assert_eq!(
                serde_json::to_string(&Ours { utc, local }).unwrap(),
                serde_json::to_string(&Theirs { utc, local }).unwrap()
            );
        }
    }
}
