//! What sendMessage does with a request: faults first, then Telegram's rules in its own words.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::faults::{Fault, Scope};
use super::html;
use super::state::{Accepted, Refused, Shared, State};

/// The most UTF-16 units of a text after its entities are parsed.
const MAX_UNITS: usize = 4096;

/// What happens on the wire.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A status and a JSON body.
    Json(u16, Value),
    /// A status and a body as it is.
    Raw(u16, String),
    /// The connection is closed without an answer.
    Close,
}

/// What the caller has to do before the request is judged, or after.
#[derive(Debug)]
pub(crate) enum Step {
    /// Answer now.
    Reply(Reply),
    /// Answer after this.
    ReplyAfter(Duration, Reply),
    /// Nothing for so long; then, if the client is still there, [`judge`].
    HangThenJudge(Duration),
}

/// A sendMessage as it came.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) chat_id: i64,
    text: String,
    is_html: bool,
    reply_to: Option<i64>,
    may_lose_reply: bool,
    has_link_preview: bool,
    from: Option<IpAddr>,
    is_answer_lost: bool,
}

impl Sending {
    /// `None` when it names no numeric chat.
    pub(crate) fn read(fields: &Map<String, Value>, from: Option<IpAddr>) -> Option<Self> {
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let text_of = |name| fields.get(name).and_then(Value::as_str);
        let reply = fields.get("reply_parameters");
        let preview = fields.get("link_preview_options");
        Some(Self {
            chat_id: number(fields.get("chat_id")?)?,
            text: text_of("text").unwrap_or_default().to_owned(),
            is_html: text_of("parse_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("html")),
            reply_to: reply.and_then(|reply| number(reply.get("message_id")?)),
            may_lose_reply: reply.is_some_and(|reply| reply.get("allow_sending_without_reply") == Some(&json!(true))),
            has_link_preview: preview.and_then(|options| options.get("is_disabled")) != Some(&json!(true)),
            from,
            is_answer_lost: false,
        })
    }
}

/// Applies the chat's faults, then the rules.
pub(crate) fn begin(shared: &Shared, sending: &Sending) -> Step {
    let fault = shared.lock().faults.take(sending.chat_id);
    let Some((scope, fault)) = fault else {
        return Step::Reply(judge(shared, sending));
    };
    let unanswered = Sending {
        is_answer_lost: true,
        ..sending.clone()
    };
    let refuse = |code: u16, description: &str, parameters: Option<Value>| {
        Step::Reply(refuse(
            shared,
            Some(sending.chat_id),
            code,
            description,
            parameters,
            true,
        ))
    };
    match fault {
        Fault::RetryAfter(seconds) => {
            shared
                .lock()
                .closed_until
                .insert(scope, Instant::now() + Duration::from_secs(seconds));
            let parameters = json!({ "retry_after": seconds });
            refuse(
                429,
                &format!("Too Many Requests: retry after {seconds}"),
                Some(parameters),
            )
        }
        Fault::Hang(duration) => Step::HangThenJudge(duration),
        Fault::AnswerLate(duration) => Step::ReplyAfter(duration, judge(shared, &unanswered)),
        Fault::AnswerSlowly(duration) => Step::ReplyAfter(duration, judge(shared, sending)),
        Fault::LoseAnswer => {
            judge(shared, &unanswered);
            Step::Reply(Reply::Close)
        }
        Fault::TakeThenError(code) => {
            judge(shared, &unanswered);
            refuse(code, "Internal Server Error", None)
        }
        Fault::CloseConnection => {
            refuse(0, "the connection was closed", None);
            Step::Reply(Reply::Close)
        }
        Fault::BadJson => Step::Reply(match judge(shared, &unanswered) {
            Reply::Json(200, body) => Reply::Raw(200, body.to_string().chars().take(25).collect()),
            other => other,
        }),
        Fault::ServerError(code) => refuse(code, "Internal Server Error", None),
        Fault::ProxyError(code) => {
            refuse(code, "an error page", None);
            Step::Reply(Reply::Raw(
                code,
                "<html><body>upstream is away</body></html>".to_owned(),
            ))
        }
        Fault::Blocked => refuse(403, "Forbidden: bot was blocked by the user", None),
        Fault::Kicked => refuse(403, "Forbidden: bot was kicked from the supergroup chat", None),
        Fault::NoRights => {
            let words = "Bad Request: not enough rights to send text messages to the chat";
            refuse(400, words, None)
        }
        Fault::Unknown400 => refuse(400, "Bad Request: TOPIC_CLOSED", None),
        Fault::ChatNotFound => refuse(400, "Bad Request: chat not found", None),
        Fault::MigratedTo(chat_id) => {
            let words = "Bad Request: group chat was upgraded to a supergroup chat";
            refuse(400, words, Some(json!({ "migrate_to_chat_id": chat_id })))
        }
        Fault::Unauthorized => refuse(401, "Unauthorized", None),
        Fault::CannotParse if sending.is_html => refuse(
            400,
            "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0",
            None,
        ),
        Fault::TooLongOver(most) if units(&sending.text) > most => {
            refuse(400, "Bad Request: message is too long", None)
        }
        Fault::CannotParse | Fault::TooLongOver(_) => Step::Reply(judge(shared, sending)),
    }
}

/// A 429 that names no chat is for all of them.
pub(crate) fn refuse_updates(shared: &Shared) -> Option<Reply> {
    let mut state = shared.lock();
    let Some(Fault::RetryAfter(seconds)) = state.faults.take_of_updates() else {
        return None;
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    state.closed_until.insert(Scope::All, until);
    drop(state);
    let description = format!("Too Many Requests: retry after {seconds}");
    let parameters = Some(json!({ "retry_after": seconds }));
    Some(refuse(shared, None, 429, &description, parameters, true))
}

/// Telegram's rules.
pub(crate) fn judge(shared: &Shared, sending: &Sending) -> Reply {
    let chat_id = Some(sending.chat_id);
    let visible = if sending.is_html {
        html::visible(&sending.text)
    } else {
        Ok(sending.text.trim().to_owned())
    };
    let visible = match visible {
        Ok(visible) => visible,
        Err(description) => return refuse(shared, chat_id, 400, &description, None, false),
    };
    if visible.is_empty() {
        return refuse(shared, chat_id, 400, "Bad Request: message text is empty", None, false);
    }
    if units(&visible) > MAX_UNITS {
        return refuse(shared, chat_id, 400, "Bad Request: message is too long", None, false);
    }
    let mut state = shared.lock();
    let known = |id: &i64| {
        state
            .accepted
            .iter()
            .any(|other| other.chat_id == sending.chat_id && other.message_id == *id)
    };
    let reply_to = sending.reply_to.filter(known);
    if sending.reply_to.is_some() && reply_to.is_none() && !sending.may_lose_reply {
        drop(state);
        return refuse(
            shared,
            chat_id,
            400,
            "Bad Request: message to be replied not found",
            None,
            false,
        );
    }
    let now = Instant::now();
    if let Err(seconds) = is_open(&state, sending.chat_id, now).and_then(|()| state.limits.admit(sending.chat_id, now))
    {
        drop(state);
        let description = format!("Too Many Requests: retry after {seconds}");
        return refuse(
            shared,
            chat_id,
            429,
            &description,
            Some(json!({ "retry_after": seconds })),
            false,
        );
    }
    let message_id = state.next_message_id();
    drop(state);
    shared.accept(Accepted {
        chat_id: sending.chat_id,
        message_id,
        text: sending.text.clone(),
        visible: visible.clone(),
        is_html: sending.is_html,
        reply_to,
        has_link_preview: sending.has_link_preview,
        at: now,
        from: sending.from,
        is_answer_lost: sending.is_answer_lost,
    });
    let kind = if sending.chat_id < 0 { "supergroup" } else { "private" };
    let chat = json!({"id": sending.chat_id, "type": kind, "title": "Сборка", "first_name": "Вымышленный"});
    let message = json!({"message_id": message_id, "date": 1_700_000_000, "chat": chat, "text": visible});
    Reply::Json(200, json!({"ok": true, "result": message}))
}

/// Whether no earlier 429 still asks this chat to wait; else for how many seconds it does.
fn is_open(state: &State, chat_id: i64, now: Instant) -> Result<(), u64> {
    let until = [Scope::All, Scope::Chat(chat_id)]
        .iter()
        .filter_map(|scope| state.closed_until.get(scope))
        .max();
    match until.map(|until| until.saturating_duration_since(now)) {
        Some(left) if !left.is_zero() => Err(left.as_secs() + u64::from(left.subsec_nanos() > 0)),
        _ => Ok(()),
    }
}

/// Records a refusal and words it.
pub(crate) fn refuse(
    shared: &Shared,
    chat_id: Option<i64>,
    code: u16,
    description: &str,
    parameters: Option<Value>,
    injected: bool,
) -> Reply {
    let retry_after = parameters
        .as_ref()
        .and_then(|parameters| parameters["retry_after"].as_u64());
    shared.refuse(Refused {
        chat_id,
        code,
        description: description.to_owned(),
        retry_after,
        injected,
        at: Instant::now(),
    });
    let mut body = json!({"ok": false, "error_code": code, "description": description});
    if let Some(parameters) = parameters {
        body["parameters"] = parameters;
    }
    Reply::Json(code, body)
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
