//! The bodies of answers (protocol section 3).

use std::sync::Arc;

use chrono::DateTime;
use orderhook_domain::ids::OrderNumber;
use orderhook_domain::protocol::answer::{Answer, ErrorBody};

use super::{body, refused};

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn answers_are_written_as_the_protocol_says() {
    let number = OrderNumber(Arc::from("0000000017"));
    for (time, written) in [
        ("2026-11-24T15:00:00+03:00", "2026-11-24T15:00:00+03:00"),
        ("2026-11-24T15:00:00.999999Z", "2026-11-24T15:00:00+00:00"),
    ] {
        let expected_assembly_time = DateTime::parse_from_rfc3339(time).unwrap();
        let created = Answer::Created {
            number: number.clone(),
            expected_assembly_time,
        };
        assert_eq!(
            json(&created),
            format!(r#"{{"status":"created","number":"0000000017","expectedAssemblyTime":"{written}"}}"#)
        );
    }
    assert_eq!(
        json(&Answer::Ok { number: Some(number) }),
        r#"{"status":"ok","number":"0000000017"}"#
    );
    assert_eq!(json(&Answer::Ok { number: None }), r#"{"status":"ok"}"#);
}

#[test]
fn errors_have_the_shape_of_sm() {
    let rejection = refused(&body(
        "order.paid",
        r#""positions":[{"id":1,"price":"1,5","quantity":-1}]"#,
    ));
    assert_eq!(
        json(&ErrorBody::validation(&rejection)),
        concat!(
            r#"{"code":400,"errors":["#,
            r#"{"type":"validation","field":"payload.positions[0].price","message":"#,
            r#""must be decimal digits with at most one point, without sign, comma, space or exponent"},"#,
            r#"{"type":"validation","field":"payload.positions[0].quantity","message":"must not be negative"}]}"#
        )
    );
    for (error, code, kind, field) in [
        (ErrorBody::authentication(), 403, "authentication", "Client-Token"),
        (ErrorBody::not_found(), 404, "not_found", "path"),
        (
            ErrorBody::method_not_allowed("POST"),
            405,
            "method_not_allowed",
            "method",
        ),
        (ErrorBody::too_large(), 413, "too_large", "body"),
        (ErrorBody::overload(), 429, "overload", ""),
        (ErrorBody::unavailable(), 503, "unavailable", ""),
    ] {
        let written = json(&error);
        let start = format!(r#"{{"code":{code},"errors":[{{"type":"{kind}","field":"{field}","message":""#);
        assert!(written.starts_with(&start), "{written}");
    }
}
