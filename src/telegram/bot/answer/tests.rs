//! What each answer of the Bot API asks for.

use super::*;

fn refused(code: u16, description: &str) -> Failure {
    let body = serde_json::json!({"ok": false, "error_code": code, "description": description});
    judge(code, body.to_string().as_bytes()).unwrap_err()
}

fn other(status: u16, body: &str) -> SendError {
    match judge(status, body.as_bytes()).unwrap_err() {
        Failure::Other(error) => error,
        failure => panic!("{failure:?}"),
    }
}

#[test]
fn a_yes_names_the_message_whatever_else_it_holds() {
    let body = r#"{"ok":true,"result":{"message_id":7,"chat":{"a_field_of_next_year":[]}}}"#;
    assert_eq!(judge(200, body.as_bytes()), Ok(7));
}

#[test]
fn a_broken_yes_is_not_repeated() {
    for body in [
        r#"{"ok":true,"result":{"mess"#,
        "{ \"ok\": true, \"result\": {\"message_id\": \"x\"}}",
        r#"{"ok":true}"#,
    ] {
        assert!(matches!(other(200, body), SendError::ProbablySent(_)), "{body}");
    }
}

#[test]
fn after_an_answer_that_proves_nothing_nobody_knows() {
    for (status, body) in [
        (200, ""),
        (200, "<html>Bad gateway</html>"),
        (502, r#"{"ok":true,"#),
        (404, "nginx"),
        (200, "[]"),
    ] {
        assert!(
            matches!(other(status, body), SendError::Unanswered(_)),
            "{status} {body}"
        );
    }
    assert!(matches!(
        refused(500, "Internal Server Error"),
        Failure::Other(SendError::Unanswered(_))
    ));
    assert!(matches!(other(429, "nginx"), SendError::RetryAfter(_)));
}

#[test]
fn an_error_never_quotes_the_message() {
    let body = r#"{"ok":true,"result":{"message_id":"+7 900 000-00-07"}}"#;
    assert!(!other(200, body).to_string().contains("900"));
}

#[test]
fn a_pause_is_taken_from_wherever_telegram_says_it() {
    let body = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":30}}"#;
    assert_eq!(other(429, body), SendError::RetryAfter(Duration::from_secs(30)));
    let after = |seconds| Failure::Other(SendError::RetryAfter(Duration::from_secs(seconds)));
    assert_eq!(refused(429, "Too Many Requests: retry after 7"), after(7));
    assert_eq!(refused(429, "Too Many Requests"), after(5));
}

#[test]
fn chats_that_are_gone_are_known_by_many_wordings() {
    for (code, description) in [
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (403, "Forbidden: bot was kicked from the group chat"),
        (403, "Forbidden: some wording of next year"),
        (403, ""),
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: PEER_ID_INVALID"),
        (400, "Bad Request: group is deactivated"),
        (400, "Bad Request: group chat was deactivated"),
        (400, "Bad Request: not enough rights to send text messages to the chat"),
        (400, "Bad Request: have no rights to send a message"),
        (400, "Bad Request: need administrator rights in the channel chat"),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
    ] {
        assert!(
            matches!(refused(code, description), Failure::Other(SendError::ChatGone(_))),
            "{description}"
        );
    }
}

#[test]
fn a_group_that_moved_says_where_to() {
    let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001234567890}}"#;
    assert_eq!(other(400, body), SendError::ChatMoved(-1_001_234_567_890));
}

#[test]
fn the_text_or_the_reply_can_be_at_fault() {
    for description in [
        "Bad Request: message is too long",
        "Bad Request: MESSAGE_TOO_LONG",
        "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 5",
    ] {
        assert!(matches!(refused(400, description), Failure::Text(_)), "{description}");
    }
    assert_eq!(
        refused(400, "Bad Request: message to be replied not found"),
        Failure::Reply
    );
}

#[test]
fn a_bad_token_is_nobodys_chat() {
    for (code, description) in [(401, "Unauthorized"), (404, "Not Found")] {
        assert_eq!(
            refused(code, description),
            Failure::Other(SendError::InvalidToken),
            "{description}"
        );
    }
}

#[test]
fn everything_else_is_tried_again() {
    for (code, description) in [(400, "Bad Request: something new"), (409, "Conflict")] {
        assert!(
            matches!(refused(code, description), Failure::Other(SendError::Temporary(_))),
            "{description}"
        );
    }
}
