//! Mutations of bodies, as values: what fails is shown as the shortest list of mutations.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::tokens::{end_of_value, tokens};

/// The size limit of the HTTP listener (protocol section 3).
const MAX_BODY: usize = 256 * 1024;

/// Texts that are put where values, keys or punctuation are.
const TOKENS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "01",
    "1.",
    ".5",
    "+1",
    "1e3",
    "1E-9999999999999999999",
    "1e400",
    "0.0005",
    "123456789012345678901234567890",
    "NaN",
    "Infinity",
    "-Infinity",
    "\"\"",
    "\" \"",
    "\"1\"",
    "\"1,5\"",
    "\"0.5\"",
    "\"\\u0000\"",
    "\"a\\u0000\"",
    "\"\\ud83c\"",
    "\"\\ud83c\\udf00\"",
    "\"\\udf00\\ud83c\"",
    "\"\\x\"",
    "\"\u{1}\"",
    "\"я\"",
    "'a'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "{}",
    "[]",
    "[null]",
    "[[]]",
    "{\"id\":1}",
    "[{\"id\":\"1\"}]",
    "{\"a\":{\"a\":[1]}}",
    "\"event_type\"",
    "\"payload\"",
    "\"originalOrderId\"",
    "\"positions\"",
    "\"order.created\"",
    "\"order.teleported\"",
    "\"courier.assigned\"",
    "\"order\\u002epaid\"",
    "\"2026-11-24T15:00:00+03:00\"",
    "//",
    "/**/",
    "\u{feff}",
    "\0",
    " ",
    "\"event_type\":\"order.paid\",",
    "\"originalOrderId\":\"H1\",",
    "\"payload\":{},",
];

const BYTES: &[u8] = b"\0\x01\x1f \"\\/{}[]:,0-.eE+u\x7f\x80\xbf\xc0\xc2\xe2\xed\xf0\xf4\xff\xef";

const NAMES: &[&str] = &[
    "\"order.created\"",
    "\"order.changed\"",
    "\"order.paid\"",
    "\"order.cancelled\"",
    "\"courier.arrived\"",
    "\"x\"",
];

#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    FlipBit(Index, u8),
    SetByte(Index, u8),
    Truncate(Index),
    Delete(Index, usize),
    Insert(Index, &'static str),
    /// A token becomes another text.
    Replace(Index, &'static str),
    /// Two tokens change places.
    Swap(Index, Index),
    /// A member of an object comes twice, the second time perhaps with another value.
    DuplicateMember(Index, Option<&'static str>),
    /// A value is wrapped in so many arrays or objects.
    Nest(Index, usize, bool),
    /// A piece of another seed is put in.
    Splice {
        seed: Index,
        from: Index,
        length: usize,
        at: Index,
    },
    /// An array's element, or an object's member, is repeated so many times.
    Repeat(Index, usize),
    /// The event becomes another one.
    Rename(&'static str),
}

/// A seed and what is done to it.
pub(crate) type Case = (Index, Vec<Mutation>);

pub(crate) fn strategy() -> impl Strategy<Value = Case> {
    let index = any::<Index>;
    let mutation = prop_oneof![
        1 => (index(), 0_u8..8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        1 => (index(), select(BYTES)).prop_map(|(at, byte)| Mutation::SetByte(at, byte)),
        1 => index().prop_map(Mutation::Truncate),
        1 => (index(), 1_usize..40).prop_map(|(at, length)| Mutation::Delete(at, length)),
        1 => (index(), select(TOKENS)).prop_map(|(at, token)| Mutation::Insert(at, token)),
        6 => (index(), select(TOKENS)).prop_map(|(at, token)| Mutation::Replace(at, token)),
        3 => (index(), index()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        4 => (index(), proptest::option::of(select(TOKENS))).prop_map(|(at, value)| Mutation::DuplicateMember(at, value)),
        2 => (index(), prop_oneof![4 => 1_usize..8, 2 => 110_usize..140, 1 => Just(20_000)], any::<bool>())
            .prop_map(|(at, levels, array)| Mutation::Nest(at, levels, array)),
        1 => (index(), index(), 1_usize..400, index())
            .prop_map(|(seed, from, length, at)| Mutation::Splice { seed, from, length, at }),
        2 => (index(), prop_oneof![3 => 2_usize..10, 1 => Just(3_000)]).prop_map(|(at, times)| Mutation::Repeat(at, times)),
        2 => select(NAMES).prop_map(Mutation::Rename),
    ];
    (any::<Index>(), proptest::collection::vec(mutation, 0..5))
}

pub(crate) fn apply(seeds: &[Vec<u8>], (seed, mutations): &Case) -> Vec<u8> {
    let mut body = seeds[seed.index(seeds.len())].clone();
    for mutation in mutations {
        if !body.is_empty() {
            mutate(seeds, &mut body, mutation);
            body.truncate(MAX_BODY);
        }
    }
    body
}

fn mutate(seeds: &[Vec<u8>], body: &mut Vec<u8>, mutation: &Mutation) {
    let length = body.len();
    match mutation {
        Mutation::FlipBit(at, bit) => body[at.index(length)] ^= 1 << bit,
        Mutation::SetByte(at, byte) => body[at.index(length)] = *byte,
        Mutation::Truncate(at) => body.truncate(at.index(length)),
        Mutation::Delete(at, count) => {
            let start = at.index(length);
            body.drain(start..length.min(start + count));
        }
        Mutation::Insert(at, token) => put(body, at.index(length + 1), token.as_bytes()),
        Mutation::Splice {
            seed,
            from,
            length: count,
            at,
        } => {
            let seed = &seeds[seed.index(seeds.len())];
            let start = from.index(seed.len() + 1);
            put(body, at.index(length + 1), &seed[start..seed.len().min(start + count)]);
        }
        _ => mutate_tokens(body, mutation),
    }
}

fn mutate_tokens(body: &mut Vec<u8>, mutation: &Mutation) {
    let tokens = tokens(body);
    if tokens.is_empty() {
        return;
    }
    let pick = |at: &Index| at.index(tokens.len());
    match mutation {
        Mutation::Replace(at, token) => replace(body, tokens[pick(at)].clone(), token.as_bytes()),
        Mutation::Swap(one, other) => {
            let (first, second) = (pick(one).min(pick(other)), pick(one).max(pick(other)));
            let (first, second) = (tokens[first].clone(), tokens[second].clone());
            let (left, right) = (body[first.clone()].to_vec(), body[second.clone()].to_vec());
            replace(body, second, &left);
            replace(body, first, &right);
        }
        Mutation::DuplicateMember(at, value) => {
            // The key of the nearest member after the picked token.
            let is_key = |index: &usize| body.get(tokens[*index].start) == Some(&b':');
            let Some(colon) = (pick(at)..tokens.len()).find(is_key).filter(|colon| *colon > 0) else {
                return;
            };
            let end = tokens[end_of_value(body, &tokens, colon + 1).clamp(1, tokens.len()) - 1].end;
            let key = body[tokens[colon - 1].start..tokens[colon].end].to_vec();
            let value = value.map_or(&body[tokens[colon].end..end], str::as_bytes).to_vec();
            put(body, end, &[b",", key.as_slice(), &value].concat());
        }
        Mutation::Nest(at, levels, array) => {
            let first = pick(at);
            let end = tokens[end_of_value(body, &tokens, first) - 1].end;
            let (open, close) = if *array { ("[", "]") } else { ("{\"a\":", "}") };
            put(body, end, close.repeat(*levels).as_bytes());
            put(body, tokens[first].start, open.repeat(*levels).as_bytes());
        }
        Mutation::Repeat(at, times) => {
            let first = pick(at);
            let mut end = end_of_value(body, &tokens, first);
            if tokens.get(end).is_some_and(|token| body[token.start] == b':') {
                end = end_of_value(body, &tokens, end + 1);
            }
            let end = tokens[end.clamp(1, tokens.len()) - 1].end;
            let mut piece = body[tokens[first].start..end].to_vec();
            piece.push(b',');
            let times = (*times).min(MAX_BODY / piece.len());
            put(body, tokens[first].start, &piece.repeat(times));
        }
        Mutation::Rename(name) => {
            let is_name = |token: &&Range<usize>| {
                let text = &body[(*token).clone()];
                text.starts_with(b"\"order.") || text.starts_with(b"\"courier.")
            };
            if let Some(token) = tokens.iter().find(is_name) {
                replace(body, token.clone(), name.as_bytes());
            }
        }
        _ => {}
    }
}

fn put(body: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    replace(body, at..at, bytes);
}

fn replace(body: &mut Vec<u8>, range: Range<usize>, bytes: &[u8]) {
    body.splice(range, bytes.iter().copied());
}
