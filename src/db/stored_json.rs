//! JSON in columns of text: written and read by this service only, and never taken apart by PostgreSQL.

use std::error::Error;

use serde::Deserialize;
use tokio_postgres::types::{FromSql, Type, accepts};

/// A value that is stored as the text of its JSON.
#[derive(Debug)]
pub(crate) struct StoredJson<T>(pub(crate) T);

impl<'a, T: Deserialize<'a>> FromSql<'a> for StoredJson<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    accepts!(TEXT);
}
