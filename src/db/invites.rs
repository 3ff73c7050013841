//! Invitation codes: with one of them a chat subscribes by itself, once, before it expires.

use std::time::Duration;

use deadpool_postgres::Transaction;
use orderhook_actors::ports::StoreError;
use rand::seq::IndexedRandom;
use ring::digest::{SHA256, digest};

use crate::db::chats::{self, Added, Role};
use crate::db::outbox::settle::while_chats_stand_still;
use crate::db::{Database, store_error};

/// Without letters and digits that are taken for each other on a phone.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// 32^10 codes: guessing one within its hours is hopeless.
const LENGTH: usize = 10;

/// A chat that has subscribed with a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemed {
    /// The store, or [`chats::EVERY_STORE`].
    pub store_id: String,
    /// `pickers`, `store` or `ops`.
    pub role: Role,
    /// What subscribing did.
    pub added: Added,
}

fn sha256(code: &str) -> Vec<u8> {
    let code = code.trim().to_ascii_uppercase();
    digest(&SHA256, code.as_bytes()).as_ref().to_vec()
}

/// Makes a code for a store and a role that can be used once within `valid_for`.
///
/// # Errors
/// [`StoreError`]; then there is no code.
pub async fn invite(
    database: &Database,
    store_id: &str,
    role: Role,
    valid_for: Duration,
) -> Result<String, StoreError> {
    let code: String = {
        // The thread's generator is seeded by the system and cryptographically strong.
        let mut random = rand::rng();
        (0..LENGTH)
            .filter_map(|_| ALPHABET.choose(&mut random))
            .map(|byte| char::from(*byte))
            .collect()
    };
    let client = database.connection().await?;
    let seconds = i64::try_from(valid_for.as_secs()).unwrap_or(i64::MAX);
    let insert = "INSERT INTO chat_invites (code_sha256, store_id, role, expires_at) \
                  VALUES ($1, $2, $3, now() + $4::bigint * interval '1 second')";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&sha256(&code), &store_id, &role.as_str(), &seconds];
    client
        .execute(insert, &parameters)
        .await
        .map_err(|error| store_error(&error))?;
    Ok(code)
}

/// Subscribes a chat with a code; `None` when the code is unknown, used or expired. The chat that it has
/// subscribed and that still is may send it again: Telegram repeats what the leader of before could not
/// confirm any more.
///
/// # Errors
/// [`StoreError`]; then the code is still good.
pub async fn redeem(database: &Database, code: &str, chat_id: i64) -> Result<Option<Redeemed>, StoreError> {
    database
        .limited(async |client| {
            let transaction = while_chats_stand_still(client).await?;
            let use_up = "UPDATE chat_invites SET used_at = now(), used_by = $2 \
                          WHERE code_sha256 = $1 AND used_at IS NULL AND expires_at > now() RETURNING store_id, role";
            let Some(row) = transaction.query_opt(use_up, &[&sha256(code), &chat_id]).await? else {
                return redeemed_before(&transaction, code, chat_id).await;
            };
            let store_id: String = row.get(0);
            let Some(role) = Role::parse(row.get(1)) else {
                return Ok(None);
            };
            let added = chats::add_in(&transaction, &store_id, role, chat_id).await?;
            transaction.commit().await?;
            Ok(Some(Redeemed { store_id, role, added }))
        })
        .await
}

async fn redeemed_before(
    transaction: &Transaction<'_>,
    code: &str,
    chat_id: i64,
) -> Result<Option<Redeemed>, tokio_postgres::Error> {
    let find = "SELECT i.store_id, i.role FROM chat_invites i \
                JOIN chats c ON c.store_id = i.store_id AND c.role = i.role AND c.chat_id = i.used_by \
                WHERE i.code_sha256 = $1 AND i.used_by = $2 AND c.disabled_at IS NULL";
    let row = transaction.query_opt(find, &[&sha256(code), &chat_id]).await?;
    let redeemed = row.and_then(|row| {
        Some(Redeemed {
            store_id: row.get(0),
            role: Role::parse(row.get(1))?,
            added: Added {
                is_new: false,
                waiting: 0,
            },
        })
    });
    Ok(redeemed)
}
