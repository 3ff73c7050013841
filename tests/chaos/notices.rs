//! Whether every chat was told what it must be told, once: rows by SQL against the Bot API's log.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio_postgres::Client;

use crate::stage::{Cause, Done};
use crate::told::{Said, Telling, Told};

/// A message may be taken so long after its sender was killed, and an answer be under way so long when its
/// connection is cut: bytes in the buffers of two sockets and a proxy.
const ON_THE_WIRE: Duration = Duration::from_secs(1);

/// The trouble that had a message sent again came soon after it: a longer wait hides behind anything.
const SOON: Duration = Duration::from_secs(60);

/// What became of the notices.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Rows that there must be, one per notice and chat.
    pub(crate) expected: usize,
    /// Not written, not sent, or recorded as sent and never taken by Telegram.
    pub(crate) lost: Vec<String>,
    /// Told once more, each by what explains it.
    pub(crate) doubled: BTreeMap<&'static str, Vec<String>>,
    /// Told once more, and nobody knows why.
    pub(crate) unexplained: Vec<String>,
    /// Rows and messages that should not be.
    pub(crate) strange: Vec<String>,
}

/// A row of `notices`.
struct Row {
    kind: String,
    state: String,
    message_id: Option<i64>,
}

/// One order in one chat.
type Place = (i64, String);

/// `chats` is who is subscribed: role, chat and store.
pub(crate) async fn judge(client: &Client, chats: &[(&str, i64, String)], told: &Told, done: &[Done]) -> Notices {
    let mut notices = Notices::default();
    notices.strange.extend(
        told.strange
            .iter()
            .map(|text| format!("a message of no order: {text:?}")),
    );
    let mut rows = HashMap::new();
    for row in client
        .query(
            "SELECT delivery_id, chat_id, order_id, kind, state, message_id FROM notices",
            &[],
        )
        .await
        .unwrap()
    {
        let chat_id: Option<i64> = row.get("chat_id");
        let key = (row.get::<_, uuid::Uuid>("delivery_id"), chat_id);
        rows.insert(
            key,
            Row {
                kind: row.get("kind"),
                state: row.get("state"),
                message_id: row.get("message_id"),
            },
        );
    }
    let mut of_place: BTreeMap<Place, Vec<Row>> = BTreeMap::new();
    let mut ids: HashMap<String, String> = HashMap::new();
    // The model has judged which events have a notice; this looks at what became of them.
    let events = "SELECT e.delivery_id, e.order_id, e.notice::jsonb ->> 'kind' AS kind, o.store_id, o.number \
                  FROM order_events e JOIN orders o USING (order_id) WHERE e.notice IS NOT NULL \
                  ORDER BY e.order_id, e.order_version";
    for event in client.query(events, &[]).await.unwrap() {
        let (order_id, kind): (String, String) = (event.get("order_id"), event.get("kind"));
        let (store, number): (String, String) = (event.get("store_id"), event.get("number"));
        ids.insert(number.clone(), order_id.clone());
        for (role, chat_id, of) in chats {
            if *of != store {
                continue;
            }
            notices.expected += 1;
            match rows.remove(&(event.get("delivery_id"), Some(*chat_id))) {
                Some(row) if row.state == "sent" && row.kind == kind => {
                    of_place.entry((*chat_id, number.clone())).or_default().push(row);
                }
                Some(row) => notices.lost.push(format!(
                    "{order_id} {kind} to {role} {chat_id}: its row is {} {}",
                    row.kind, row.state
                )),
                None => notices
                    .lost
                    .push(format!("{order_id} {kind} to {role} {chat_id}: there is no row")),
            }
        }
    }
    let beside = rows.into_iter().map(|((delivery, chat), row)| {
        format!(
            "a notice of nothing: {} of {delivery} to {chat:?}, {}",
            row.kind, row.state
        )
    });
    notices.strange.extend(beside);

    let mut tellings: BTreeMap<Place, Vec<&Telling>> = BTreeMap::new();
    for telling in &told.tellings {
        let place = (telling.chat_id, telling.number.clone());
        tellings.entry(place).or_default().push(telling);
    }
    for (place, rows) in of_place {
        let id = &ids[&place.1];
        let told = tellings.remove(&place).unwrap_or_default();
        notices.compare(&place, id, &rows, &told, done);
    }
    for ((chat_id, number), told) in tellings {
        let said: Vec<Said> = told.iter().map(|telling| telling.said).collect();
        notices
            .strange
            .push(format!("№ {number} in {chat_id}: told {said:?} without a notice"));
    }
    notices
}

impl Notices {
    /// One order in one chat: its rows, all sent, and what was told.
    fn compare(&mut self, place: &Place, id: &str, rows: &[Row], told: &[&Telling], done: &[Done]) {
        let chat_id = place.0;
        let mut is_recorded = vec![false; told.len()];
        // First those that say which message it was; then those that lost the answer.
        for row in rows.iter().filter(|row| row.message_id.is_some()) {
            // Two changes of an order may stand in one message; what came and went is one line for all.
            let fits = |index: &usize| {
                let telling = told[*index];
                let is_free = !is_recorded[*index] || telling.said == Said::CameAndWent;
                is_free && Some(telling.message_id) == row.message_id && telling.said.tells(&row.kind)
            };
            match (0..told.len()).find(fits) {
                Some(index) => is_recorded[index] = true,
                None => self.lost.push(format!(
                    "{id} {} to {chat_id}: message {:?} was never taken",
                    row.kind, row.message_id
                )),
            }
        }
        for row in rows.iter().filter(|row| row.message_id.is_none()) {
            let candidate = (0..told.len()).find(|index| !is_recorded[*index] && told[*index].said.tells(&row.kind));
            match candidate {
                Some(index) => is_recorded[index] = true,
                None => self.lost.push(format!(
                    "{id} {} to {chat_id}: sent, says its row, and never taken",
                    row.kind
                )),
            }
        }
        for (index, telling) in told.iter().enumerate().filter(|(index, _)| !is_recorded[*index]) {
            let same = |other: &&&Telling| {
                let is_same = other.said == telling.said || other.said == Said::CameAndWent;
                is_same && other.message_id != telling.message_id
            };
            let later = told[index + 1..].iter().find(same);
            let earlier = told[..index].iter().rev().find(same);
            let (first, second) = match (later, earlier) {
                (Some(later), _) => (*telling, Some(*later)),
                (None, Some(earlier)) => (*earlier, Some(*telling)),
                (None, None) => (*telling, None),
            };
            let node = |telling: &Telling| {
                telling
                    .sender
                    .map_or("nobody known".to_owned(), |node| format!("node-{}", node + 1))
            };
            let told = |telling: &Telling| format!("message {} by {}", telling.message_id, node(telling));
            let again = second.map_or("never again".to_owned(), told);
            let line = format!("{id} in {chat_id}: {:?}, {}, {again}", telling.said, told(first));
            match explanation(first, second, done) {
                Some(why) => self.doubled.entry(why).or_default().push(line),
                None => self.unexplained.push(format!(
                    "{line}, recorded {:?}",
                    rows.iter().map(|row| (&row.kind, row.message_id)).collect::<Vec<_>>(),
                )),
            }
        }
    }
}

/// Why the first message was not recorded when the second was sent: its sender died, stood still or was the only
/// one to reach no database, or the answer to it was lost. That the database was away for everybody is no excuse.
fn explanation(first: &Telling, second: Option<&Telling>, done: &[Done]) -> Option<&'static str> {
    if first.is_answer_lost {
        return Some("the answer was lost");
    }
    let from = first.at - ON_THE_WIRE;
    let to = second.map_or(first.at + SOON, |second| second.at.min(first.at + SOON));
    let of_sender = |cause: fn(usize) -> Cause| {
        let cause = first.sender.map(cause);
        done.iter().filter(move |done| Some(done.cause) == cause)
    };
    let meanwhile = |done: &Done| done.from <= to && done.to >= from;
    // Whoever sent the message after the death is the process that was started since: that is no excuse.
    let died = |done: &Done| done.from <= to && done.from >= from;
    // What is taken later goes by new connections, and its answer comes back by them.
    let is_cut = |done: &Done| {
        let cut = (done.from - ON_THE_WIRE)..=(done.from + ON_THE_WIRE);
        done.cause == Cause::TelegramCut && cut.contains(&first.at)
    };
    if of_sender(Cause::Kill).any(died) {
        Some("the sender was killed")
    } else if of_sender(Cause::CutShort).any(meanwhile) {
        Some("the sender met its deadline while it drained")
    } else if of_sender(Cause::Freeze).any(meanwhile) {
        Some("the sender stood still")
    } else if of_sender(Cause::CutOff).any(meanwhile) {
        Some("the sender was cut off from the database")
    } else if done.iter().any(is_cut) {
        Some("the answer was cut off")
    } else {
        None
    }
}
