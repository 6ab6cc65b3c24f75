/// Text of others for a message: on one line, with what cannot be seen written out, and cut where it is
/// longer than so many characters.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(longest) {
        push_visible(&mut shown, character);
    }
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// Adds a character so that it can be seen.
pub fn push_visible(shown: &mut String, character: char) {
    match character {
        _ if character.is_control() => shown.extend(character.escape_debug()),
        _ if is_invisible(character) => shown.extend(character.escape_unicode()),
        _ => shown.push(character),
    }
}

/// Whether a character is not seen, ends the line, or turns what follows around.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_neither_forges_nor_floods_a_message() {
        assert_eq!(printable("a\u{1b}[31m\r\nerror:", 99), "a\\u{1b}[31m\\r\\nerror:");
        assert_eq!(printable("a\u{202e}b\u{2028}c", 99), "a\\u{202e}b\\u{2028}c");
        assert_eq!(printable(&"x".repeat(1_000_000), 3), "xxx…");
        assert_eq!(printable("über", 4), "über");
    }
}
