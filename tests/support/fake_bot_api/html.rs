//! Telegram's HTML mode ("HTML style", Bot API): what it accepts, and what a reader then sees.

/// The tags without attributes that Telegram knows.
const TAGS: [&str; 13] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "code",
    "pre",
    "blockquote",
    "tg-spoiler",
];

/// The visible text, or the description of the error as Telegram words it.
pub(crate) fn visible(html: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(first) = rest.chars().next() {
        let at = html.len() - rest.len();
        match first {
            '<' => {
                let end = rest
                    .find('>')
                    .ok_or_else(|| refused(&format!("Unclosed start tag at byte offset {at}")))?;
                tag(&rest[1..end], at, &mut open)?;
                rest = &rest[end + 1..];
            }
            '&' => match entity(rest) {
                Some((shown, length)) => {
                    text.push(shown);
                    rest = &rest[length..];
                }
                None => {
                    text.push('&');
                    rest = &rest[1..];
                }
            },
            other => {
                text.push(other);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    match open.last() {
        Some(name) => Err(refused(&format!(
            "Can't find end tag corresponding to start tag \"{name}\""
        ))),
        None => Ok(text.trim().to_owned()),
    }
}

fn refused(why: &str) -> String {
    format!("Bad Request: can't parse entities: {why}")
}

fn tag<'a>(inside: &'a str, at: usize, open: &mut Vec<&'a str>) -> Result<(), String> {
    if let Some(name) = inside.strip_prefix('/') {
        return match open.pop() {
            Some(expected) if expected == name => Ok(()),
            Some(expected) => Err(refused(&format!(
                "Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""
            ))),
            None => Err(refused(&format!("Unexpected end tag at byte offset {at}"))),
        };
    }
    let name = inside.split_whitespace().next().unwrap_or_default();
    let is_link = name == "a" && inside.contains("href=");
    if !is_link && !TAGS.contains(&name) {
        return Err(refused(&format!(
            "Unsupported start tag \"{name}\" at byte offset {at}"
        )));
    }
    open.push(name);
    Ok(())
}

/// The character that an entity stands for and the entity's length in bytes; Telegram leaves what it
/// does not know as it is.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text
        .get(..text.len().min(12))
        .map_or_else(|| text.find(';'), |start| start.find(';'))?;
    let name = &text[1..end];
    let shown = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((shown, end + 1))
}
