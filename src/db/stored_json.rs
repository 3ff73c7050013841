//! JSON in columns of text: written and read by this service only, and never taken apart by PostgreSQL.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A value that is stored as the text of its JSON.
#[derive(Debug)]
pub(crate) struct StoredJson<T>(pub(crate) T);

impl<'a, T: Deserialize<'a>> FromSql<'a> for StoredJson<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    accepts!(TEXT);
}

impl<T: Serialize + std::fmt::Debug> ToSql for StoredJson<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        serde_json::to_writer(out.writer(), &self.0)?;
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}
