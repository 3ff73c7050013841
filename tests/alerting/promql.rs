//! What a PromQL expression names: metrics, the labels that each selects by with their values, and the
//! labels of groupings. Not a parser: whether an expression is correct is for promtool to say.

use std::iter::Peekable;
use std::vec::IntoIter;

/// One metric with its matchers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The name of the series, such as `…_bucket`.
    pub(crate) metric: String,
    /// By label and text; the alternatives of a pattern are separated by `|`.
    pub(crate) matchers: Vec<(String, String)>,
}

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// In the order of the text.
    pub(crate) selectors: Vec<Selector>,
    /// The labels after `by`, `on` and the like.
    pub(crate) grouped_by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Words that are followed by labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words between operands.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Reads an expression.
pub(crate) fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let mut tokens = tokens(expression).into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        let next = tokens.peek();
        let is_grouping = GROUPINGS.contains(&word.as_str());
        let followed_by_grouping = matches!(next, Some(Token::Word(next)) if GROUPINGS.contains(&next.as_str()) || OPERATORS.contains(&next.as_str()));
        if is_grouping {
            named.grouped_by.extend(words_until(&mut tokens, ')'));
        } else if OPERATORS.contains(&word.as_str()) || next == Some(&Token::Sign('(')) {
            // An operator or a function names nothing.
        } else if followed_by_grouping && AGGREGATIONS.contains(&word.as_str()) {
            // `sum by (job) (…)`.
        } else if next == Some(&Token::Sign('{')) {
            let matchers = matchers(&mut tokens);
            named.selectors.push(Selector { metric: word, matchers });
        } else {
            let matchers = Vec::new();
            named.selectors.push(Selector { metric: word, matchers });
        }
    }
    named
}

/// What may stand before `by`.
const AGGREGATIONS: [&str; 5] = ["sum", "max", "min", "avg", "count"];

fn words_until(tokens: &mut Peekable<IntoIter<Token>>, end: char) -> Vec<String> {
    let inside = tokens.by_ref().take_while(|token| *token != Token::Sign(end));
    inside
        .filter_map(|token| match token {
            Token::Word(word) => Some(word),
            Token::Text(_) | Token::Sign(_) => None,
        })
        .collect()
}

fn matchers(tokens: &mut Peekable<IntoIter<Token>>) -> Vec<(String, String)> {
    let mut matchers = Vec::new();
    let mut label = None;
    for token in tokens.by_ref().take_while(|token| *token != Token::Sign('}')) {
        match token {
            Token::Word(word) => label = Some(word),
            Token::Text(text) => matchers.push((label.take().unwrap(), text)),
            Token::Sign(_) => {}
        }
    }
    matchers
}

/// Numbers and ranges in brackets are left out.
fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let text = rest[1..].split('"').next().unwrap();
                tokens.push(Token::Text(text.to_owned()));
                text.len() + 2
            }
            '[' => rest.find(']').unwrap() + 1,
            _ if first.is_ascii_alphabetic() || first == '_' => {
                let word = word(rest);
                tokens.push(Token::Word(word.to_owned()));
                word.len()
            }
            // `5m` and `1e9` are no words.
            _ if first.is_ascii_digit() => word(rest).len(),
            _ => {
                tokens.push(Token::Sign(first));
                first.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn metrics_labels_and_groupings_are_found() {
    let found = named(
        r#"histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{actor=~"x|y", job!="z"}[5m])))
           > 1e9 and on (job) (b offset 1d == 0) or time() - c / d{e="f"} * 60"#,
    );
    let selector = |metric: &str, matchers: &[(&str, &str)]| Selector {
        metric: metric.to_owned(),
        matchers: matchers
            .iter()
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()))
            .collect(),
    };
    assert_eq!(
        found.selectors,
        [
            selector("a_bucket", &[("actor", "x|y"), ("job", "z")]),
            selector("b", &[]),
            selector("c", &[]),
            selector("d", &[("e", "f")]),
        ]
    );
    assert_eq!(found.grouped_by, ["job", "le", "job"]);
}
