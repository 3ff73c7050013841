//! What became of messages, and what is put right from time to time.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use orderhook_actors::ports::{Settled, SettledAs};
use tokio_postgres::{Error, Row};

use super::count;

const SENT: &str = include_str!("../../../sql/queries/outbox_sent.sql");
const RETRY: &str = include_str!("../../../sql/queries/outbox_retry.sql");
const SLICE_END: &str = include_str!("../../../sql/queries/outbox_slice_end.sql");
const GIVE_BACK: &str = include_str!("../../../sql/queries/outbox_give_back.sql");
const GONE: &str = include_str!("../../../sql/queries/outbox_gone.sql");
const ADOPTABLE: &str = include_str!("../../../sql/queries/outbox_adoptable.sql");
const TOLD_ALREADY: &str = include_str!("../../../sql/queries/outbox_told_already.sql");
const TOLD_AGAIN: &str = include_str!("../../../sql/queries/outbox_told_again.sql");
const ADOPT: &str = include_str!("../../../sql/queries/outbox_adopt.sql");
const WAITED_LONG: &str = include_str!("../../../sql/queries/outbox_waited_long.sql");
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
            let retry = client.prepare_cached(RETRY).await?;
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
    let sent = client.prepare_cached(SENT).await?;
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
    give_chat_back(transaction, chat_id, reason, BeingSent::Too).await?;
    Ok(())
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
const START: Place = (i64::MIN, 0);
const END: Place = (i64::MAX, i64::MAX);
/// How many notices are put right with one statement, a tenth of a second or two. What is left of a flood is for
/// the next time: meanwhile no chat can come or leave.
const PART: i64 = 5000;
/// With so many parts a chat can still be removed within the limit of an answer.
const PARTS_OF_REMOVED: usize = 20;
/// So many chats without a subscription are looked for, in case that the sender is still busy with some.
const GONE_CHATS: i64 = 100;

/// Part of what waits.
#[derive(Debug, Clone, Copy)]
struct Slice {
    /// What follows it.
    after: Place,
    /// The last one.
    until: Place,
}

impl Slice {
    /// The next part, and where the one after it begins.
    async fn following(transaction: &Transaction<'_>, after: Place) -> Result<(Self, Place), Error> {
        let end = transaction.prepare_cached(SLICE_END).await?;
        let end = transaction.query_opt(&end, &[&after.0, &after.1, &PART]).await?;
        Ok(end.map_or((Self { after, until: END }, START), |end| {
            let until = (end.get("chat_id"), end.get("notice_id"));
            (Self { after, until }, until)
        }))
    }

    /// The next part of what waits for one chat, and whether more follows.
    async fn of_chat(transaction: &Transaction<'_>, after: Place) -> Result<(Self, bool), Error> {
        let end = (after.0, i64::MAX);
        let (mut slice, _) = Self::following(transaction, after).await?;
        let leaves_some = slice.until < end;
        slice.until = slice.until.min(end);
        Ok((slice, leaves_some))
    }
}

/// Gives back what waits for a chat that no subscription covers any more, as far as one part reaches;
/// [`keep_house`] gives back the rest. Returns how many notices that were, and [`PART`] when there may be more.
pub(in crate::db) async fn give_chat_back(
    transaction: &Transaction<'_>,
    chat_id: i64,
    reason: &str,
    being_sent: BeingSent,
) -> Result<i64, Error> {
    let (slice, leaves_some) = Slice::of_chat(transaction, (chat_id, 0)).await?;
    let given_back = give_back(transaction, slice, reason, being_sent).await?;
    Ok(if leaves_some { PART } else { given_back })
}

/// Gives back what waits for a chat about stores of which it is told no more. The sender could tell it what is
/// left: as much as can be is given back at once.
pub(in crate::db) async fn give_removed_back(transaction: &Transaction<'_>, chat_id: i64) -> Result<(), Error> {
    let mut after = (chat_id, 0);
    for _ in 0..PARTS_OF_REMOVED {
        let (slice, leaves_some) = Slice::of_chat(transaction, after).await?;
        give_back(transaction, slice, SUBSCRIPTION_ENDED, BeingSent::Not).await?;
        if !leaves_some {
            break;
        }
        after = slice.until;
    }
    Ok(())
}

async fn give_back(
    transaction: &Transaction<'_>,
    Slice { after, until }: Slice,
    reason: &str,
    being_sent: BeingSent,
) -> Result<i64, Error> {
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
    Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
}

/// What became of notices that waited for a chat.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Adopted {
    /// So many wait for a chat that is subscribed by now.
    pub(in crate::db) notices: u64,
    /// Whether more may have been left.
    leaves_some: bool,
}

/// Whose notices get a chat.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) enum Whose<'a> {
    /// Those of every store and role. Nobody is told any more of orders that are over: such notices have failed.
    All,
    /// What a chat that has just subscribed is to be told, before anything newer: open orders of this role and
    /// store, or of every store.
    Subscriber { store_id: &'a str, role: &'a str },
}

/// Gives what waits for a chat to those that are subscribed by now, the oldest first and as far as one part
/// reaches; [`keep_house`] goes on with it.
pub(in crate::db) async fn adopt(transaction: &Transaction<'_>, whose: Whose<'_>) -> Result<Adopted, Error> {
    let (store_id, role) = match whose {
        Whose::All => (None, None),
        Whose::Subscriber { store_id, role } => (Some(store_id), Some(role)),
    };
    let adoptable = transaction.prepare_cached(ADOPTABLE).await?;
    let adoptable = transaction.query(&adoptable, &[&PART, &store_id, &role]).await?;
    let (open, over): (Vec<_>, Vec<_>) = adoptable.iter().partition(|row| row.get("is_open"));
    let [open, over] = [open, over].map(|rows| rows.iter().map(|row| row.get("notice_id")).collect::<Vec<i64>>());
    let mut notices = 0;
    if !open.is_empty() {
        for put_right in [TOLD_AGAIN, TOLD_ALREADY, ADOPT] {
            let put_right = transaction.prepare_cached(put_right).await?;
            // The last one says how many got a chat.
            notices = transaction.execute(&put_right, &[&open]).await?;
        }
    }
    retire(transaction, over).await?;
    Ok(Adopted {
        notices,
        leaves_some: is_whole_part(&adoptable),
    })
}

/// Whether more may follow these rows.
fn is_whole_part(rows: &[Row]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|rows| rows >= PART)
}

async fn retire(transaction: &Transaction<'_>, notice_ids: Vec<i64>) -> Result<(), Error> {
    if notice_ids.is_empty() {
        return Ok(());
    }
    let retire = transaction.prepare_cached(RETIRE).await?;
    for row in transaction.query(&retire, &[&notice_ids]).await? {
        count(&row, "failed");
    }
    Ok(())
}

/// How far the outbox has been put right. Beginning again from the start costs nothing but time.
#[derive(Debug, Clone, Copy)]
pub(super) struct House {
    /// Of what waits to be sent.
    sent: Place,
    /// Of what has waited for a chat for long: its time.
    waited: DateTime<Utc>,
}

impl House {
    /// Nothing was looked at yet.
    pub(super) const NEW: Self = Self {
        sent: START,
        waited: DateTime::UNIX_EPOCH,
    };
}

/// What one round of putting right has done.
pub(super) struct Kept {
    /// So many notices got a chat.
    pub(super) adopted: u64,
    /// Where the next round begins.
    pub(super) house: House,
    /// Whether what was found first must be gone on with soon: notices that nobody would be told.
    pub(super) leaves_some: bool,
}

/// Puts right what could not be seen when it was written, one part of everything.
pub(super) async fn keep_house(client: &mut Object, house: House) -> Result<Kept, Error> {
    let transaction = while_chats_stand_still(client).await?;
    let mut given_back = 0;
    let gone = transaction.prepare_cached(GONE).await?;
    for chat in transaction.query(&gone, &[&GONE_CHATS]).await? {
        let reason: Option<&str> = chat.get("disabled_reason");
        let reason = reason.unwrap_or(SUBSCRIPTION_ENDED);
        given_back += give_chat_back(&transaction, chat.get("chat_id"), reason, BeingSent::Not).await?;
        if given_back >= PART {
            break;
        }
    }
    // A chat that is told about fewer stores than before is found among all that waits.
    let (slice, sent) = Slice::following(&transaction, house.sent).await?;
    give_back(&transaction, slice, SUBSCRIPTION_ENDED, BeingSent::Not).await?;
    let adopted = adopt(&transaction, Whose::All).await?;
    let waited = retire_long_waiting(&transaction, house.waited).await?;
    // A used one is kept so long, for whoever sends it again not knowing that it has worked.
    let codes = "DELETE FROM chat_invites WHERE expires_at < now() - interval '1 day'";
    transaction.execute(codes, &[]).await?;
    transaction.commit().await?;
    Ok(Kept {
        adopted: adopted.notices,
        house: House { sent, waited },
        leaves_some: given_back >= PART || adopted.leaves_some,
    })
}

/// What waits for a chat is kept for a day after its order is over, for whoever asks why nobody came. Without an
/// end it would be counted for ever. Returns where the next part begins.
async fn retire_long_waiting(transaction: &Transaction<'_>, after: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let waited = transaction.prepare_cached(WAITED_LONG).await?;
    let waited = transaction.query(&waited, &[&after, &PART]).await?;
    let over = waited.iter().filter(|row| !row.get::<_, bool>("is_open"));
    retire(transaction, over.map(|row| row.get("notice_id")).collect()).await?;
    let last = waited.last().filter(|_| is_whole_part(&waited));
    Ok(last.map_or(House::NEW.waited, |row| row.get("created_at")))
}
