//! Answers of the Bot API, by the reaction they need. Pure.
//!
//! Source: Bot API, "Making requests" (`ok`, `description`, `error_code`, `parameters`); the
//! descriptions are no contract and get reworded, so that they are matched loosely beside
//! teloxide's list.

use std::time::Duration;

use orderhook_actors::ports::SendError;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use teloxide::ApiError;

/// How long to wait after a 429 that does not say.
const UNSAID_RETRY_AFTER: Duration = Duration::from_secs(5);
/// The most characters of a description that are kept: it may quote the text that was sent.
const MAX_DESCRIPTION_CHARS: usize = 120;

/// What to do about a message that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Telegram does not take this text (too long, markup it cannot parse): send it another way.
    Text(&'static str),
    /// There is no such message to reply to: send it without.
    Reply,
    /// Nothing that another form of the message would help.
    Other(SendError),
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Text(reason) => Self::Temporary(format!("Telegram refuses the text: {reason}")),
            Failure::Reply => Self::Temporary("Telegram refuses the reply".to_owned()),
            Failure::Other(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    result: Option<Sent>,
    description: Option<String>,
    error_code: Option<u16>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Sent {
    message_id: i64,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// The id of the message, or the reaction that the answer needs. `status` is the HTTP status.
pub(super) fn judge(status: u16, body: &[u8]) -> Result<i64, Failure> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return Err(Failure::Other(unreadable(status, body, &error))),
    };
    if answer.ok {
        let unnamed = || Failure::Other(SendError::ProbablySent("it names no message".to_owned()));
        return answer.result.map(|sent| sent.message_id).ok_or_else(unnamed);
    }
    Err(refusal(answer.error_code.unwrap_or(status), &answer))
}

/// Only an answer that visibly began with Telegram's yes proves that the message was taken. Anything
/// else (an error page of a proxy, nothing at all) proves nothing: it may have come after Telegram took the
/// message, and a notice is sent at least once.
fn unreadable(status: u16, body: &[u8], error: &serde_json::Error) -> SendError {
    if status == 429 {
        return SendError::RetryAfter(UNSAID_RETRY_AFTER);
    }
    let begins: String = body
        .iter()
        .take(64)
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(*byte))
        .collect();
    let place = format!(
        "HTTP {status}, {:?} error at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    );
    if (200..300).contains(&status) && begins.starts_with(r#"{"ok":true"#) {
        SendError::ProbablySent(place)
    } else {
        SendError::Unanswered(format!("an answer that is not the Bot API's: {place}"))
    }
}

fn refusal(code: u16, answer: &Answer) -> Failure {
    let description = answer.description.as_deref().unwrap_or_default();
    if let Some(parameters) = &answer.parameters {
        if let Some(seconds) = parameters.retry_after {
            return Failure::Other(SendError::RetryAfter(Duration::from_secs(seconds)));
        }
        if let Some(chat_id) = parameters.migrate_to_chat_id {
            return Failure::Other(SendError::ChatMoved(chat_id));
        }
    }
    let words: String = description.chars().take(MAX_DESCRIPTION_CHARS).collect();
    match code {
        429 => {
            return Failure::Other(SendError::RetryAfter(
                said_in_words(description).unwrap_or(UNSAID_RETRY_AFTER),
            ));
        }
        // It may have been taken before something broke.
        500.. => return Failure::Other(SendError::Unanswered(format!("{code} {words}"))),
        _ => {}
    }
    let known: Result<ApiError, serde::de::value::Error> = ApiError::deserialize(description.into_deserializer());
    if let Some(failure) = known.ok().and_then(|error| known_refusal(&error, &words)) {
        return failure;
    }
    worded_refusal(code, description, words)
}

/// `Too Many Requests: retry after 30`
fn said_in_words(description: &str) -> Option<Duration> {
    let seconds = description.rsplit(' ').next()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// By teloxide's list of the API's errors.
fn known_refusal(error: &ApiError, words: &str) -> Option<Failure> {
    Some(match error {
        ApiError::MessageIsTooLong | ApiError::EditedMessageIsTooLong => Failure::Text("it is too long"),
        ApiError::CantParseEntities(_) => Failure::Text("its markup cannot be parsed"),
        ApiError::MessageToReplyNotFound => Failure::Reply,
        ApiError::InvalidToken => Failure::Other(SendError::InvalidToken),
        ApiError::BotBlocked
        | ApiError::UserDeactivated
        | ApiError::BotKicked
        | ApiError::BotKickedFromSupergroup
        | ApiError::BotKickedFromChannel
        | ApiError::ChatNotFound
        | ApiError::UserNotFound
        | ApiError::GroupDeactivated
        | ApiError::CantInitiateConversation
        | ApiError::CantTalkWithBots
        | ApiError::NotEnoughRightsToPostMessages => Failure::Other(SendError::ChatGone(words.to_owned())),
        _ => return None,
    })
}

/// By words that Telegram has used in one wording or another.
fn worded_refusal(code: u16, description: &str, words: String) -> Failure {
    const GONE: [&str; 12] = [
        "chat not found",
        "peer_id_invalid",
        "group chat was deactivated",
        "bot was kicked",
        "bot was blocked",
        "not a member",
        "not enough rights",
        "have no rights",
        "no rights to send",
        "chat_write_forbidden",
        "chat_restricted",
        "user_is_blocked",
    ];
    let text = description.to_lowercase();
    let says = |part: &str| text.contains(part);
    if code == 403 || text.starts_with("forbidden") || GONE.iter().any(|part| says(part)) {
        Failure::Other(SendError::ChatGone(words))
    } else if says("too long") || says("too_long") {
        Failure::Text("it is too long")
    } else if says("can't parse") || says("entity") || says("entities") {
        Failure::Text("its markup cannot be parsed")
    } else if says("replied") || says("reply message not found") {
        Failure::Reply
    } else if code == 401 {
        Failure::Other(SendError::InvalidToken)
    } else {
        Failure::Other(SendError::Temporary(format!("{code} {words}")))
    }
}

#[cfg(test)]
mod tests;
