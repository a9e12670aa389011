//! The pass over words: secrets, account numbers, identity numbers with letters, addresses, and encoded runs.

use crate::class::{self, at, before, is_word_before, slice};

/// A word of letters and digits, or a run of base64 characters.
pub(crate) enum Token {
    /// Letters and digits only.
    Word(usize, usize),
    /// Characters of base64, at least as many as are worth decoding.
    Run(usize, usize),
}

/// Calls `found` for every word and every long run, in order of their ends.
pub(crate) fn tokens(text: &[u8], run_min: usize, mut found: impl FnMut(Token)) {
    let mut place = 0;
    let mut run: Option<usize> = None;
    while place < text.len() {
        let byte = at(text, place);
        if class::is(byte, class::ALNUM) {
            let start = place;
            place += class::run(text, start, class::ALNUM);
            run.get_or_insert(start);
            found(Token::Word(start, place));
        } else {
            if !matches!(byte, b'+' | b'/' | b'_' | b'-' | b'=') || byte == b'=' && !padding(text, place) {
                if let Some(start) = run.take()
                    && place - start >= run_min
                {
                    found(Token::Run(start, place));
                }
            } else if run.is_none() && matches!(byte, b'+' | b'/') {
                run = Some(place);
            }
            place += 1;
        }
    }
    if let Some(start) = run
        && place - start >= run_min
    {
        found(Token::Run(start, place));
    }
}

/// Calls `found` for every run of at least `least` characters of base64. Most text is not looked at: where a run that long
/// could begin, the last of its characters is looked at first.
pub(crate) fn runs(text: &[u8], least: usize, mut found: impl FnMut(usize, usize)) {
    let mut start = 0;
    while start + least <= text.len() {
        let window = slice(text, start, start + least);
        if let Some(other) = window.iter().rposition(|b| !class::is(*b, class::RUN)) {
            start += other + 1;
            continue;
        }
        let next = start + least + class::run(text, start + least, class::RUN);
        let mut end = next;
        while at(text, end) == b'=' && end - next < 2 && padding(text, end) {
            end += 1;
        }
        found(start, end);
        start = next + 1;
    }
}

/// Whether the `=` at `place` pads what is before it, and is not between a key and its value.
fn padding(text: &[u8], place: usize) -> bool {
    let next = at(text, place + 1);
    !next.is_ascii_alphanumeric() && next != b'/' && before(text, place) != 0
}

/// Whether a word begins at `start`.
pub(crate) fn begins_word(text: &[u8], start: usize) -> bool {
    !is_word_before(text, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_whole() {
        let all = |text: &str| {
            let mut all = Vec::new();
            runs(text.as_bytes(), 4, |start, end| all.push(text[start..end].to_owned()));
            all
        };
        assert_eq!(all("abcd"), ["abcd"]);
        assert_eq!(all("abc defg hi jklm+/== x"), ["defg", "jklm+/=="]);
        assert_eq!(all("a abcdefgh, wxyz=1 abcd= "), ["abcdefgh", "wxyz", "abcd="]);
        assert_eq!(all("abc abc abc"), [""; 0]);
        assert_eq!(all(""), [""; 0]);
    }
}
