//! A JSON tokenizer for the tests: independent of the one under test, and tolerant of anything.

use std::ops::Range;

/// Where the tokens of `body` are: punctuation, strings, and runs of anything else but whitespace.
pub(crate) fn tokens(body: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        let end = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => at + 1,
            b'"' => end_of_string(body, at),
            _ => {
                let run = body[at..].iter().position(|byte| b" \t\r\n{}[],:\"".contains(byte));
                run.map_or(body.len(), |length| at + length)
            }
        };
        tokens.push(at..end);
        at = end;
    }
    tokens
}

fn end_of_string(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

/// Where the value that starts at token `first` ends, as the index of the token after it.
pub(crate) fn end_of_value(body: &[u8], tokens: &[Range<usize>], first: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(first) {
        match body[token.start] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The same document with `space` between all its tokens. A byte order mark stays where it was.
pub(crate) fn respaced(body: &[u8], space: &[u8]) -> Vec<u8> {
    let (mark, document) = match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(document) => (&body[..3], document),
        None => (&body[..0], body),
    };
    let mut respaced = mark.to_vec();
    for token in tokens(document) {
        respaced.extend_from_slice(space);
        respaced.extend_from_slice(&document[token]);
    }
    respaced.extend_from_slice(space);
    respaced
}
