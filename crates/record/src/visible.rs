//! Makes hostile text safe to look at. Recordings hold what clients and targets sent; on an auditor's terminal that must
//! not move the cursor, set the clipboard (OSC 52), hide text or turn its direction.

use std::borrow::Cow;

/// The text with everything that a terminal or a reader's eye would act upon made visible; line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    show(text, |c| c == '\n' || c == '\t')
}

/// The same for text that must stay on one line and in one cell.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    show(text, |_| false)
}

fn show(text: &str, plain: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(|c| plain(c) || !acts(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        if plain(c) || !acts(c) {
            shown.push(c);
        } else {
            match c {
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push_str("\\t"),
                '\r' => shown.push_str("\\r"),
                '\u{1b}' => shown.push_str("\\e"),
                _ => {
                    shown.push_str("\\u{");
                    shown.push_str(&format!("{:x}", u32::from(c)));
                    shown.push('}');
                }
            }
        }
    }
    Cow::Owned(shown)
}

/// Controls (C0, C1), what reorders text (UAX #9), what has no width, what separates lines, and tags.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        for (hostile, line, block) in [
            ("plain ü 名 🙂", "plain ü 名 🙂", "plain ü 名 🙂"),
            ("\x1b[2Jgone", "\\e[2Jgone", "\\e[2Jgone"),
            ("\x1b]52;c;AAAA\x07", "\\e]52;c;AAAA\\u{7}", "\\e]52;c;AAAA\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m", "\\u{9b}31m"),
            ("a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\\r"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("\u{e0041}\u{2028}", "\\u{e0041}\\u{2028}", "\\u{e0041}\\u{2028}"),
        ] {
            assert_eq!(visible_line(hostile), line);
            assert_eq!(visible(hostile), block);
        }
    }
}
