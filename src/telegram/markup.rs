//! Telegram's HTML mode, as far as our own templates write it: tags without attributes, and the
//! entities of askama's escaping (`&#38;` and the like; the Bot API accepts every numeric entity).
//!
//! Outside text is escaped before it gets here, so that `<` always begins one of our tags.

/// The most UTF-16 units of one message after its entities are parsed (Bot API, sendMessage).
/// We hold the markup to it as well: whatever Telegram counts, it fits.
pub(super) const MAX_UNITS: usize = 4096;

/// The length of a text as Telegram counts it, in UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What a reader sees of some HTML: without tags, with entities resolved.
pub(super) fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    for token in Tokens(html) {
        match token {
            Token::Tag(_) => {}
            Token::Text(shown) => text.push_str(shown),
            Token::Entity(entity) => text.push(resolved(entity)),
        }
    }
    text
}

/// Splits one line of HTML into pieces, the first of at most `first` UTF-16 units and the others of at
/// most `limit`, each with balanced tags and no entity torn; at a space where the second half of a
/// piece has one.
pub(super) fn split(line: &str, first: usize, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut length = 0;
    let mut open: Vec<&str> = Vec::new();
    let mut space: Option<(usize, Vec<&str>)> = None;
    for token in Tokens(line) {
        let source = token.source();
        // A tag that opens must also be closed within the piece, hence twice its length and one.
        let needed = units(source) + closing_units(&open) + if token.opens().is_some() { units(source) + 1 } else { 0 };
        let limit = if pieces.is_empty() { first } else { limit };
        if length + needed > limit && !matches!(token, Token::Tag(tag) if tag.starts_with("</")) {
            let (at, open_there) = space
                .take()
                .filter(|(at, _)| *at > piece.len() / 2)
                .unwrap_or_else(|| (piece.len(), open.clone()));
            let rest = piece.split_off(at);
            pieces.push(format!("{}{}", piece.trim_end_matches(' '), closing(&open_there)));
            piece = format!("{}{}", opening(&open_there), rest.trim_start_matches(' '));
            length = units(&piece);
        }
        if source == " " {
            space = Some((piece.len(), open.clone()));
        }
        piece.push_str(source);
        length += units(source);
        match token.opens() {
            Some(name) => open.push(name),
            None if matches!(token, Token::Tag(_)) => drop(open.pop()),
            None => {}
        }
    }
    pieces.push(piece);
    pieces
}

fn closing(open: &[&str]) -> String {
    open.iter().rev().map(|name| format!("</{name}>")).collect()
}

fn opening(open: &[&str]) -> String {
    open.iter().map(|name| format!("<{name}>")).collect()
}

fn closing_units(open: &[&str]) -> usize {
    open.iter().map(|name| units(name) + "</>".len()).sum()
}

/// The smallest things that must not be torn.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// `<b>` or `</b>`.
    Tag(&'a str),
    /// `&#38;`.
    Entity(&'a str),
    /// One character.
    Text(&'a str),
}

impl<'a> Token<'a> {
    const fn source(self) -> &'a str {
        match self {
            Self::Tag(source) | Self::Entity(source) | Self::Text(source) => source,
        }
    }

    /// The name of the tag that this opens.
    fn opens(self) -> Option<&'a str> {
        match self {
            Self::Tag(tag) if !tag.starts_with("</") => Some(tag.trim_matches(['<', '>'])),
            _ => None,
        }
    }
}

struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.0.chars().next()?;
        let through = |end| self.0.find(end).map_or(first.len_utf8(), |index| index + 1);
        let length = match first {
            '<' => through('>'),
            '&' => through(';'),
            _ => first.len_utf8(),
        };
        let (source, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(match first {
            '<' => Token::Tag(source),
            '&' => Token::Entity(source),
            _ => Token::Text(source),
        })
    }
}

/// The character that an entity stands for.
fn resolved(entity: &str) -> char {
    let name = entity.trim_start_matches('&').trim_end_matches(';');
    match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        _ => name
            .strip_prefix('#')
            .and_then(|number| number.parse().ok())
            .and_then(char::from_u32)
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reader_sees_no_markup() {
        assert_eq!(
            plain("<b>№ 7</b> 1 &#60; 2 &#38;&#38; &quot;x&quot; 😀"),
            "№ 7 1 < 2 && \"x\" 😀"
        );
    }

    #[test]
    fn a_long_line_breaks_at_a_space_and_keeps_its_tags() {
        assert_eq!(
            split("<b>первое слово</b> и другие слова", 24, 24),
            ["<b>первое слово</b> и", "другие слова"]
        );
        assert_eq!(
            split("ab <i>cdefgh ijk</i>", 17, 17),
            ["ab <i>cdefgh</i>", "<i>ijk</i>"]
        );
    }

    #[test]
    fn without_a_space_it_breaks_between_characters() {
        assert_eq!(split("&#60;&#60;&#60;", 11, 11), ["&#60;&#60;", "&#60;"]);
        assert_eq!(split("😀😀😀", 4, 4), ["😀😀", "😀"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_piece_fits(words in proptest::collection::vec("(<b>x[a-я]{0,9}</b>|&#38;|😀|[а-я]{1,30}| )", 0..60), limit in 80_usize..160) {
            let line = words.concat();
            let pieces = split(&line, limit / 2, limit);
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&pieces.iter().map(|piece| plain(piece)).collect::<String>()), letters(&plain(&line)));
            for piece in pieces {
                prop_assert!(units(&piece) <= limit, "{} units: {}", units(&piece), piece);
                prop_assert_eq!(piece.matches("<b>").count(), piece.matches("</b>").count());
            }
        }
    }
}
