//! How lines of the log reach standard error: each thing that happened begins at the left margin, and nothing else does.
//!
//! What the log says may hold words of clients, targets and identity providers: a statement that raised an alert has lines of its
//! own. Whoever reads a log, person or program, takes what stands at its left margin for the gateway's word, so that no
//! peer may write there. It is not what keeps secrets out of the log: nothing here knows what a secret is.

use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// What goes before a line that continues what the one before it began.
const CONTINUED: &str = "    ";

/// Makes the writer of each thing that is said.
pub struct Margin;

/// Takes one of them whole, as the formatter hands it over.
pub struct Said;

impl<'a> MakeWriter<'a> for Margin {
    type Writer = Said;

    fn make_writer(&'a self) -> Said {
        Said
    }
}

impl Write for Said {
    fn write(&mut self, said: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(set_in(&String::from_utf8_lossy(said)).as_bytes())?;
        Ok(said.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// The same with every line but the first away from the margin, and with no character that moves the cursor. Escapes that
/// colour are the formatter's own: those of others it has already written out.
fn set_in(said: &str) -> String {
    let (text, end) = said.strip_suffix('\n').map_or((said, ""), |text| (text, "\n"));
    let mut lines = String::with_capacity(said.len());
    for character in text.chars() {
        match character {
            '\n' => {
                lines.push('\n');
                lines.push_str(CONTINUED);
            }
            '\t' | '\x1b' => lines.push(character),
            // Line and paragraph separators are lines to some readers.
            '\u{2028}' | '\u{2029}' => lines.extend(character.escape_unicode()),
            _ if character.is_control() => lines.extend(character.escape_default()),
            _ => lines.push(character),
        }
    }
    lines + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_stands_at_the_margin() {
        for (said, shown) in [
            ("INFO ready\n", "INFO ready\n"),
            ("WARN alert: SELECT 1\nINFO forged\n", "WARN alert: SELECT 1\n    INFO forged\n"),
            ("a\r\nINFO forged\r b\n\n", "a\\r\n    INFO forged\\r b\n    \n"),
            ("\x1b[33mWARN\x1b[0m\tä\u{8}\u{9b}\n", "\x1b[33mWARN\x1b[0m\tä\\u{8}\\u{9b}\n"),
            ("one\u{2028}two\u{85}three", "one\\u{2028}two\\u{85}three"),
            ("", ""),
        ] {
            assert_eq!(set_in(said), shown);
            let margin = set_in(said).lines().skip(1).any(|line| !line.starts_with(CONTINUED));
            assert!(!margin, "{said:?}");
        }
    }
}
