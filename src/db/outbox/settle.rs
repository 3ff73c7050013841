//! What became of messages, and what is put right from time to time.

use deadpool_postgres::{Object, Transaction};
use orderhook_actors::ports::{Settled, SettledAs};
use tokio_postgres::Error;

use super::count;

const SLICE_END: &str = include_str!("../../../sql/queries/outbox_slice_end.sql");
const GIVE_BACK: &str = include_str!("../../../sql/queries/outbox_give_back.sql");
const TOLD_ALREADY: &str = include_str!("../../../sql/queries/outbox_told_already.sql");
const TOLD_AGAIN: &str = include_str!("../../../sql/queries/outbox_told_again.sql");
const ADOPT: &str = include_str!("../../../sql/queries/outbox_adopt.sql");
const RETIRE: &str = include_str!("../../../sql/queries/outbox_retire.sql");

/// Held while rows move between chats. Two chats of one role that are lost at the same moment would
/// otherwise each see the other one told, and nobody would be.
const CHATS_STAND_STILL: &str = "LOCK TABLE chats IN SHARE ROW EXCLUSIVE MODE";

/// Every change of a notice is fenced by its claim: what a newer leader has claimed is its own.
pub(super) async fn settle(client: &mut Object, settled: &Settled) -> Result<(), Error> {
    let (epoch, ids) = (&settled.epoch, &settled.notice_ids);
    match &settled.result {
        SettledAs::Sent { message_id } => sent(client, settled, Some(*message_id), None).await,
        SettledAs::ProbablySent { error } => sent(client, settled, None, Some(error)).await,
        SettledAs::Retry {
            after,
            error,
            maybe_sent,
        } => {
            let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
            let retry = "UPDATE notices SET claimed_by = CASE WHEN $5 THEN claimed_by END, claimed_at = NULL, last_error = $3, \
                                            not_before = now() + $4::bigint * interval '1 millisecond' \
                         WHERE notice_id = ANY($2) AND claimed_by = $1 AND state = 'pending'";
            let retry = client.prepare_cached(retry).await?;
            client
                .execute(&retry, &[epoch, ids, error, &millis, maybe_sent])
                .await?;
            Ok(())
        }
        SettledAs::ChatGone { error } => {
            let transaction = while_chats_stand_still(client).await?;
            chat_gone(&transaction, settled.chat_id, error).await?;
            transaction.commit().await
        }
        SettledAs::ChatMoved { to } => {
            let transaction = while_chats_stand_still(client).await?;
            chat_moved(&transaction, settled.chat_id, *to).await?;
            transaction.commit().await
        }
    }
}

async fn sent(
    client: &Object,
    settled: &Settled,
    message_id: Option<i64>,
    error: Option<&String>,
) -> Result<(), Error> {
    let sent = "UPDATE notices SET state = 'sent', sent_at = now(), message_id = $3, last_error = $4, not_before = NULL \
                WHERE notice_id = ANY($2) AND claimed_by = $1 AND state = 'pending'";
    let sent = client.prepare_cached(sent).await?;
    client
        .execute(&sent, &[&settled.epoch, &settled.notice_ids, &message_id, &error])
        .await?;
    Ok(())
}

/// What a notice says whose chat left.
pub(in crate::db) const SUBSCRIPTION_ENDED: &str = "the subscription ended";

/// A transaction in which no chat comes, leaves or is refused but by itself.
pub(in crate::db) async fn while_chats_stand_still(client: &mut Object) -> Result<Transaction<'_>, Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(CHATS_STAND_STILL).await?;
    Ok(transaction)
}

async fn chat_gone(transaction: &Transaction<'_>, chat_id: i64, reason: &str) -> Result<(), Error> {
    let disable =
        "UPDATE chats SET disabled_at = now(), disabled_reason = $2 WHERE chat_id = $1 AND disabled_at IS NULL";
    transaction.execute(disable, &[&chat_id, &reason]).await?;
    give_back(transaction, Slice::of_chat(chat_id), reason, BeingSent::Too).await
}

/// Subscriptions and what waits follow; what was sent stays under the old id, where its messages are.
async fn chat_moved(transaction: &Transaction<'_>, from: i64, to: i64) -> Result<(), Error> {
    let known = "DELETE FROM chats old USING chats new WHERE old.chat_id = $1 AND new.chat_id = $2 \
                   AND new.store_id = old.store_id AND new.role = old.role";
    transaction.execute(known, &[&from, &to]).await?;
    let follow =
        "UPDATE chats SET chat_id = $2, disabled_at = NULL, disabled_reason = NULL WHERE chat_id IN ($1::bigint, $2)";
    transaction.execute(follow, &[&from, &to]).await?;
    let told = "DELETE FROM notices old USING notices new WHERE old.chat_id = $1 AND new.chat_id = $2 \
                  AND new.delivery_id = old.delivery_id AND old.state = 'pending'";
    transaction.execute(told, &[&from, &to]).await?;
    let move_on = "UPDATE notices SET chat_id = $2, claimed_by = NULL, claimed_at = NULL, not_before = NULL \
                   WHERE chat_id = $1 AND state = 'pending'";
    transaction.execute(move_on, &[&from, &to]).await?;
    Ok(())
}

/// Whether what the leader is sending at this moment is given back, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum BeingSent {
    /// It is the leader who says so, and it is sending nothing there.
    Too,
    /// What becomes of it the leader will say.
    Not,
}

/// A waiting notice, or where one would be: its chat and its id, in the order in which notices are gone through.
pub(super) type Place = (i64, i64);

/// Before every chat, groups included.
pub(super) const START: Place = (i64::MIN, 0);
const END: Place = (i64::MAX, i64::MAX);
/// How many waiting notices are gone through at a time. A flood of them would otherwise keep the database busy
/// for a second each time, and there is one at most among thousands that has to be put right.
const SLICE: i64 = 5000;

/// Part of what waits.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Slice {
    /// What follows it.
    after: Place,
    /// The last one.
    until: Place,
}

impl Slice {
    /// All that waits for one chat.
    pub(in crate::db) const fn of_chat(chat_id: i64) -> Self {
        Self {
            after: (chat_id, 0),
            until: (chat_id, i64::MAX),
        }
    }

    /// The next part, and where the one after it begins.
    async fn following(transaction: &Transaction<'_>, after: Place) -> Result<(Self, Place), Error> {
        let end = transaction.prepare_cached(SLICE_END).await?;
        let end = transaction.query_opt(&end, &[&after.0, &after.1, &SLICE]).await?;
        Ok(end.map_or((Self { after, until: END }, START), |end| {
            let until = (end.get("chat_id"), end.get("notice_id"));
            (Self { after, until }, until)
        }))
    }
}

/// What waits for chats that no subscription covers any more.
pub(in crate::db) async fn give_back(
    transaction: &Transaction<'_>,
    Slice { after, until }: Slice,
    reason: &str,
    being_sent: BeingSent,
) -> Result<(), Error> {
    let give_back = transaction.prepare_cached(GIVE_BACK).await?;
    let rows = transaction
        .query(
            &give_back,
            &[
                &after.0,
                &after.1,
                &until.0,
                &until.1,
                &reason,
                &(being_sent == BeingSent::Too),
            ],
        )
        .await?;
    for row in rows.iter().filter(|row| row.get::<_, &str>("state") == "failed") {
        count(row, "failed");
    }
    Ok(())
}

/// Gives what waits for a chat to those that are subscribed by now, and returns how many notices that were.
pub(in crate::db) async fn adopt(transaction: &Transaction<'_>) -> Result<u64, Error> {
    transaction.execute(TOLD_AGAIN, &[]).await?;
    transaction.execute(TOLD_ALREADY, &[]).await?;
    transaction.execute(ADOPT, &[]).await
}

/// Puts right what could not be seen when it was written, as far as it is behind the given place and one slice
/// reaches. Returns how many notices got a chat, and the place for the next time.
pub(super) async fn keep_house(client: &mut Object, after: Place) -> Result<(u64, Place), Error> {
    let transaction = while_chats_stand_still(client).await?;
    let (slice, reached) = Slice::following(&transaction, after).await?;
    give_back(&transaction, slice, SUBSCRIPTION_ENDED, BeingSent::Not).await?;
    let adopted = adopt(&transaction).await?;
    for row in transaction.query(RETIRE, &[]).await? {
        count(&row, "failed");
    }
    // A used one is kept so long, for whoever sends it again not knowing that it has worked.
    let codes = "DELETE FROM chat_invites WHERE expires_at < now() - interval '1 day'";
    transaction.execute(codes, &[]).await?;
    transaction.commit().await?;
    Ok((adopted, reached))
}
