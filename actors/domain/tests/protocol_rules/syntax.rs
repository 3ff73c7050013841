//! What is a JSON document at all.

use orderhook_domain::protocol::parse;

use super::{accepted, body, refused, wrong_fields};

/// `{}` in place of an ignored value, a kept value, a text, a key and a line.
fn places(value: &str) -> Vec<String> {
    let place = |members: &str| body("order.paid", &members.replace("@", value));
    vec![
        place(r#""unknown":@"#),
        place(r#""unknown":{"a":[1,@]}"#),
        place(r#""customer":{"a":@}"#),
        place(r#""comment":@"#),
        place(r#""positions":[{"id":"1","name":@}]"#),
        place(r#""paymentMethods":[@]"#),
        format!(r#"{{"event_type":"order.teleported","extra":{value}}}"#),
        format!(r#"{{"event_type":"order.teleported","payload":{{"comment":{value}}}}}"#),
        format!(r#"{{"event_type":"order.paid","timestamp":{value},"payload":{{"originalOrderId":1}}}}"#),
    ]
}

#[test]
fn what_the_grammar_refuses_is_refused_in_every_place() {
    for value in [
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "+1",
        "1.e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "-NaN",
        "nan",
        "nul",
        "nulll",
        "True",
        "TRUE",
        "tru",
        "undefined",
        "'a'",
        "`a`",
        "a",
        "/",
        "@@",
        "/* c */ 1",
        "1 // c\n",
        "# c",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{",
        "}",
        "[1}",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{1:1}"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{null:1}"#,
        "\"a\nb\"",
        "\"a\tb\"",
        "\"a\0b\"",
        "\"\u{1f}\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\U0041""#,
        r#""\""#,
        r#""\'""#,
        r#""\ud83c""#,
        r#""\udf00""#,
        r#""\ud83c\ud83c""#,
        r#""\ud83cx""#,
        r#""\ud83c\n""#,
        r#""\ud83c\u0041""#,
        r#"{"\ud83c":1}"#,
        r#"{"\q":1}"#,
        "{\"\u{1}\":1}",
        "\u{a0}1",
        "\u{feff}1",
        "1\u{c}",
        "\u{b}1",
        "１",
    ] {
        for body in places(value) {
            assert_eq!(wrong_fields(&body), ["body"], "{body:?}");
        }
    }
}

#[test]
fn what_the_grammar_allows_is_passed_in_every_place() {
    for value in [
        "0",
        "-0",
        "0.0",
        "-0.5e-7",
        "1E+400",
        "1e-999999",
        "123456789012345678901234567890",
        "true",
        "null",
        "[]",
        "{}",
        " [ 1 , 2 ]\r\n\t",
        r#"{"":{"":[]}}"#,
        r#""""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000\uFFFF\ud83c\udf00""#,
        "\"\u{7f}\u{85}\u{2028}\u{feff}\u{10ffff}\"",
        r#"{"a":1,"a":2}"#,
        r#"{"\ud83c\udf00":1}"#,
    ] {
        for body in places(value) {
            accepted(&body);
        }
    }
}

#[test]
fn every_byte_must_be_utf8() {
    for bytes in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\xbc",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\x80",
        b"a\xff\\n",
    ] {
        for frame in [
            &b"{\"event_type\":\"x\",\"a\":\"@\"}"[..],
            b"{\"event_type\":\"x\",\"@\":1}",
            b"{\"event_type\":\"x\",\"a\":{\"@\":1}}",
            b"{\"event_type\":\"@\"}",
            b"{\"event_type\":\"x\",\"payload\":{\"customer\":{\"@\":\"@\"}}}",
            b"{\"event_type\":\"x\",@\"a\":1}",
            b"{\"event_type\":\"x\",\"a\":@}",
            b"{\"event_type\":\"x\"}@",
        ] {
            let parts: Vec<&[u8]> = frame.split(|byte| *byte == b'@').collect();
            let body = parts.join(bytes);
            let rejection = parse(&body).expect_err("invalid UTF-8");
            assert_eq!(rejection.errors[0].field, "body", "{}", body.escape_ascii());
        }
    }
}

#[test]
fn one_document_in_utf8_and_nothing_else() {
    let body = body("order.paid", "");
    let mark = "\u{feff}";
    for accepted_body in [
        format!("{mark}{body}"),
        format!(" \t\r\n{body}\r\n"),
        format!("{mark} {body} "),
    ] {
        accepted(&accepted_body);
    }
    for refused_body in [
        format!("{mark}{mark}{body}"),
        format!(" {mark}{body}"),
        format!("{body}{mark}"),
        format!("{body}{body}"),
        format!("{body} {body}"),
        format!("{body},"),
        format!("{body}]"),
        format!("{body}\0"),
        format!("\0{body}"),
        format!("{body}garbage"),
        format!("[{body}]"),
        String::new(),
        " ".to_owned(),
        mark.to_owned(),
        "null".to_owned(),
        "1".to_owned(),
        "\"order.paid\"".to_owned(),
        "[]".to_owned(),
        "event_type=order.paid".to_owned(),
        body[..body.len() - 1].to_owned(),
        format!("{body}//"),
        body.replace('"', "'"),
        format!("\u{a0}{body}"),
    ] {
        assert_eq!(wrong_fields(&refused_body), ["body"], "{refused_body}");
        let rejection = refused(&refused_body);
        assert_eq!(
            (rejection.event_name, rejection.kind, rejection.order_id),
            (None, None, None)
        );
    }
    for wide in [
        body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
        body.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        [0xfffe_u16]
            .into_iter()
            .chain(body.encode_utf16())
            .flat_map(u16::to_be_bytes)
            .collect(),
        body.chars().flat_map(|char| u32::from(char).to_le_bytes()).collect(),
        body.chars().flat_map(|char| u32::from(char).to_be_bytes()).collect(),
    ] {
        assert_eq!(parse(&wide).expect_err("not UTF-8").errors[0].field, "body");
    }
}

#[test]
fn nesting_ends_at_128_levels() {
    let nested = |inner: &str, levels: usize| {
        let (open, close) = if inner == "[" { ("[", "]") } else { (r#"{"a":"#, "}") };
        format!("{}0{}", open.repeat(levels), close.repeat(levels))
    };
    // The frame, how many levels it has around the value.
    for (frame, levels) in [
        (r#"{"event_type":"order.teleported","a":@}"#, 1),
        (
            r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1","a":@}}"#,
            2,
        ),
        (
            r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1","customer":@}}"#,
            2,
        ),
        (
            r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1","comment":@}}"#,
            2,
        ),
        (
            r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1","address":{"a":@}}}"#,
            3,
        ),
        (
            r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1","positions":[{"id":1,"a":@}]}}"#,
            4,
        ),
    ] {
        for bracket in ["[", "{"] {
            accepted(&frame.replace('@', &nested(bracket, 128 - levels)));
            for too_deep in [129 - levels, 1_000, 100_000] {
                let rejection = refused(&frame.replace('@', &nested(bracket, too_deep)));
                assert_eq!(rejection.errors[0].field, "body");
                assert!(rejection.errors[0].message.contains("128 levels"), "{rejection}");
            }
        }
    }
    for endless in [
        "[".repeat(100_000),
        r#"{"a":"#.repeat(100_000),
        r#"[{"":"#.repeat(100_000),
    ] {
        assert_eq!(wrong_fields(&endless), ["body"]);
    }
    // Depth is what is open, not what was.
    accepted(&format!(
        r#"{{"event_type":"x","a":[{}0]}}"#,
        "[[]],{\"a\":{}},".repeat(500)
    ));
}

#[test]
fn the_message_says_where() {
    for (body, position) in [
        ("{\n  \"event_type\": x}", "line 2 column 17"),
        ("\u{feff}{\"a\":\"\u{1}\"}", "line 1 column 7"),
        ("{\"event_type\":\"order.paid\"}\n\n}", "line 3 column 1"),
        ("{\n\"a\":\"\\ud83c\"}", "line 2 column 12"),
    ] {
        let message = refused(body).errors.remove(0).message;
        assert!(message.ends_with(position), "{body:?}: {message}");
    }
}
