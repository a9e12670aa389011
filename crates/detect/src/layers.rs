//! Values behind one layer of writing: full-width and other scripts' digits, invisible characters, HTML entities, escapes
//! of URLs, JSON and mail, base64 and hexadecimal.
//!
//! One layer is taken off, once. What is found under it is reported where it stands in the text as it came.

use crate::class::{self, at, slice};

/// A text without its layer, and where its bytes came from.
pub(crate) struct Peeled {
    pub(crate) text: Vec<u8>,
    /// Places in `text`, in order, and what each was in the source. Between two of them bytes are as they were.
    changes: Vec<Change>,
}

struct Change {
    at: usize,
    bytes: usize,
    source: usize,
    source_end: usize,
}

impl Peeled {
    /// Where the bytes from `start` to `end` stand in the source.
    pub(crate) fn source(&self, start: usize, end: usize) -> (usize, usize) {
        (self.place(start, false), self.place(end, true))
    }

    fn place(&self, place: usize, end: bool) -> usize {
        // An end belongs to the byte before it.
        let byte = if end { place.saturating_sub(1) } else { place };
        let after = self.changes.partition_point(|c| c.at <= byte);
        let inside = after.checked_sub(1).and_then(|i| self.changes.get(i));
        match inside {
            None => place,
            Some(change) if byte < change.at + change.bytes => {
                if end {
                    change.source_end
                } else {
                    change.source
                }
            }
            Some(change) => place - (change.at + change.bytes) + change.source_end,
        }
    }
}

/// Takes one layer off; `None` where there is none.
pub(crate) fn peel(text: &[u8]) -> Option<Peeled> {
    let mut peeled: Option<Peeled> = None;
    let mut place = 0;
    let mut copied = 0;
    while place < text.len() {
        let Some((used, with)) = unescape(text, place) else {
            place += 1;
            continue;
        };
        let peeled = peeled.get_or_insert_with(|| Peeled { text: Vec::with_capacity(text.len()), changes: Vec::new() });
        peeled.text.extend_from_slice(slice(text, copied, place));
        let at = peeled.text.len();
        let mut buffer = [0; 4];
        let bytes = match with {
            None => 0,
            Some(character) => {
                let encoded = character.encode_utf8(&mut buffer).as_bytes();
                peeled.text.extend_from_slice(encoded);
                encoded.len()
            }
        };
        peeled.changes.push(Change { at, bytes, source: place, source_end: place + used });
        place += used;
        copied = place;
    }
    if let Some(peeled) = &mut peeled {
        peeled.text.extend_from_slice(slice(text, copied, text.len()));
    }
    peeled
}

/// What the bytes at `place` stand for, and how many they are: a character, or nothing.
fn unescape(text: &[u8], place: usize) -> Option<(usize, Option<char>)> {
    match at(text, place) {
        byte @ 0x80..=0xff => fold(text, place, byte),
        b'%' => hex(text, place + 1, 2).filter(|c| *c >= 0x20 && *c < 0x80).map(|c| (3, char::from_u32(c))),
        b'=' => {
            // Quoted-printable: `=40`, and a line's soft end.
            if at(text, place + 1) == b'\n' {
                return Some((2, None));
            }
            if slice(text, place + 1, place + 3) == b"\r\n" {
                return Some((3, None));
            }
            // Several in a row are nothing else.
            let code = hex(text, place + 1, 2)?;
            let chained = at(text, place + 3) == b'=' && hex(text, place + 4, 2).is_some()
                || place.checked_sub(3).is_some_and(|from| at(text, from) == b'=' && hex(text, from + 1, 2).is_some());
            if chained && (0x20..0x80).contains(&code) {
                return Some((3, char::from_u32(code)));
            }
            let capital = |b: u8| b.is_ascii_digit() || matches!(b, b'A'..=b'F');
            if !capital(at(text, place + 1)) || !capital(at(text, place + 2)) {
                return None;
            }
            // `=41` may be a value after its key; only characters that mail must escape count.
            matches!(code, 0x20 | 0x2e | 0x3d | 0x40).then(|| (3, char::from_u32(code)))
        }
        b'\\' => match at(text, place + 1) {
            b'u' if at(text, place + 2) == b'{' => {
                let body = slice(text, place + 3, (place + 10).min(text.len()));
                let count = memchr::memchr(b'}', body)?;
                hex(text, place + 3, count).map(|c| (count + 4, folded(c).unwrap_or_else(|| char::from_u32(c))))
            }
            b'U' => hex(text, place + 2, 8).map(|c| (10, folded(c).unwrap_or_else(|| char::from_u32(c)))),
            // A byte in octal, as `bytea` is written that is mostly text: what cannot be read is left out.
            b'0'..=b'3' => {
                let digits = slice(text, place + 1, place + 4);
                let octal = digits.len() == 3 && digits.iter().all(|b| matches!(b, b'0'..=b'7'));
                octal.then(|| {
                    let code = digits.iter().fold(0, |sum, b| sum * 8 + u32::from(b - b'0'));
                    (4, char::from_u32(code).filter(|c| (' '..='~').contains(c)))
                })
            }
            b'u' => hex(text, place + 2, 4).map(|c| (6, folded(c).unwrap_or_else(|| char::from_u32(c)))),
            b'x' => hex(text, place + 2, 2).map(|c| (4, char::from_u32(c))),
            _ => None,
        },
        b'&' => entity(text, place),
        0 => Some((1, None)),
        0x1b if at(text, place + 1) == b'[' => {
            // A terminal's colours.
            let tail = slice(text, place + 2, (place + 18).min(text.len()));
            let end = tail.iter().position(|b| b.is_ascii_alphabetic())?;
            tail.iter().take(end).all(|b| b.is_ascii_digit() || *b == b';').then_some((end + 3, None))
        }
        _ => None,
    }
}

/// The number that so many hexadecimal digits make.
fn hex(text: &[u8], place: usize, count: usize) -> Option<u32> {
    let digits = slice(text, place, place + count);
    (digits.len() == count).then_some(())?;
    digits.iter().try_fold(0, |sum, b| Some(sum * 16 + char::from(*b).to_digit(16)?))
}

fn entity(text: &[u8], place: usize) -> Option<(usize, Option<char>)> {
    let body = slice(text, place + 1, (place + 10).min(text.len()));
    let ended = memchr::memchr(b';', body);
    // A number needs no end.
    let end = match ended {
        Some(end) => end,
        None if at(body, 0) == b'#' => 1 + body.iter().skip(1).take_while(|b| b.is_ascii_digit()).count(),
        None => return None,
    };
    let name = std::str::from_utf8(body.get(..end)?).ok()?;
    let code = match name {
        "amp" => 0x26,
        "lt" => 0x3c,
        "gt" => 0x3e,
        "quot" => 0x22,
        "apos" => 0x27,
        "nbsp" => 0x20,
        "commat" => 0x40,
        "period" => 0x2e,
        "colon" => 0x3a,
        "sol" => 0x2f,
        "plus" => 0x2b,
        "lowbar" => 0x5f,
        "hyphen" | "dash" | "shy" => 0x2d,
        _ => {
            let number = name.strip_prefix('#')?;
            match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            }
        }
    };
    Some((end + 1 + usize::from(ended.is_some()), folded(code).unwrap_or_else(|| char::from_u32(code))))
}

/// A character that is not ASCII and looks like one that is, or like nothing.
fn fold(text: &[u8], place: usize, lead: u8) -> Option<(usize, Option<char>)> {
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let character = std::str::from_utf8(slice(text, place, place + length)).ok()?.chars().next()?;
    folded(u32::from(character)).map(|to| (length, to))
}

/// The zeros of the decimal digits of other scripts (Unicode's category Nd), in order.
const ZEROS: [u32; 66] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50,
    0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950,
    0x1fbf0,
];

/// `Some(None)` for what is invisible, `Some(Some(_))` for what reads as an ASCII character.
fn folded(code: u32) -> Option<Option<char>> {
    let ascii = |code: u32| Some(char::from_u32(code));
    match code {
        // Soft hyphen, fillers, joiners, bidirectional marks, variation selectors, the byte order mark, tags; accents of their
        // own, and what frames a character.
        0xad
        | 0x300..=0x36f
        | 0x61c
        | 0x115f
        | 0x1160
        | 0x17b4
        | 0x17b5
        | 0x180b..=0x180f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x206f
        | 0x20d0..=0x20ff
        | 0x3164
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f
        | 0xfeff
        | 0xffa0
        | 0xfff9..=0xfffb
        | 0xe0000..=0xe0fff => Some(None),
        0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => Some(Some(' ')),
        0x2010..=0x2015 | 0x2212 | 0xfe58 | 0xfe63 => Some(Some('-')),
        // Full-width forms.
        0xff01..=0xff5e => ascii(code - 0xff01 + 0x21),
        0xfe52 | 0x3002 | 0xff61 => Some(Some('.')),
        0xfe6b => Some(Some('@')),
        0xb2 | 0xb3 => ascii(code - 0xb0 + 0x30),
        0xb9 => Some(Some('1')),
        0x2070 | 0x2074..=0x2079 => ascii(code - 0x2070 + 0x30),
        0x2080..=0x2089 => ascii(code - 0x2080 + 0x30),
        // Digits and letters in circles, in parentheses and with dots.
        0x2460..=0x2468 => ascii(code - 0x2460 + 0x31),
        0x2474..=0x247c => ascii(code - 0x2474 + 0x31),
        0x2488..=0x2490 => ascii(code - 0x2488 + 0x31),
        0x24b6..=0x24cf => ascii(code - 0x24b6 + 0x41),
        0x24d0..=0x24e9 => ascii(code - 0x24d0 + 0x61),
        0x24ea | 0x24ff => Some(Some('0')),
        0x24f5..=0x24fd => ascii(code - 0x24f5 + 0x31),
        0x2776..=0x277e => ascii(code - 0x2776 + 0x31),
        0x2780..=0x2788 => ascii(code - 0x2780 + 0x31),
        0x278a..=0x2792 => ascii(code - 0x278a + 0x31),
        // Letters of mathematics, alphabet after alphabet.
        0x1d400..=0x1d6a3 => {
            let letter = (code - 0x1d400) % 52;
            ascii(if letter < 26 { letter + 0x41 } else { letter - 26 + 0x61 })
        }
        0x660.. => {
            let zero = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1).and_then(|place| ZEROS.get(place))?;
            (code - zero < 10).then(|| char::from_u32(code - zero + 0x30))
        }
        _ => None,
    }
}

/// The shortest run that is tried, and the most that is decoded at once.
pub(crate) const RUN_BYTES_MIN: usize = 22;
const PIECE_BYTES: usize = 16 * 1024;
/// The lines that encoded texts are cut into.
const LINE_MIN: usize = 60;
const LINE_MAX: usize = 76;

/// What a run of base64 or hexadecimal characters says; `None` where that is no text. `run` is one piece.
pub(crate) fn decode(run: &[u8]) -> Option<Vec<u8>> {
    // `0x…`, and `\x…` whose backslash is not part of the run.
    let is_hex =
        |run: &&[u8]| run.len().is_multiple_of(2) && class::run(run, 0, class::DIGIT | class::HEX) == run.len();
    let marked = run.strip_prefix(b"0").unwrap_or(run).strip_prefix(b"x");
    if let Some(run) = marked.filter(is_hex).or(Some(run).filter(is_hex)) {
        let head = slice(run, 0, HEAD_BYTES * 2).chunks_exact(2);
        if !head.into_iter().all(|pair| {
            nibble(at(pair, 0)).is_some_and(|high| !is_control(high << 4 | nibble(at(pair, 1)).unwrap_or(0)))
        }) {
            return None;
        }
        let pairs = run.chunks_exact(2).map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?));
        return readable(pairs);
    }
    // Most runs are no text, which their first bytes tell.
    for quad in slice(run, 0, HEAD_BYTES / 3 * 4).chunks_exact(4) {
        let bits = quad.iter().try_fold(0_u32, |bits, byte| Some(bits << 6 | sextet(*byte)?));
        if bits.is_some_and(|bits| bits.to_be_bytes().into_iter().skip(1).any(is_control)) {
            return None;
        }
    }
    let body = run.strip_suffix(b"==").or_else(|| run.strip_suffix(b"=")).unwrap_or(run);
    let joined: Vec<u8>;
    let body = if memchr::memchr(b'\n', body).is_some() {
        joined = body.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        &joined
    } else {
        body
    };
    let quads = body.chunks(4).flat_map(|quad| {
        let mut bits: u32 = 0;
        let mut fine = true;
        for place in 0..4 {
            let value = quad.get(place).map_or(Some(0), |b| sextet(*b));
            fine &= value.is_some();
            bits = bits << 6 | value.unwrap_or(0);
        }
        let [_, a, b, c] = bits.to_be_bytes();
        let count = if fine { quad.len().saturating_sub(1) } else { 1 };
        [a, b, c].into_iter().take(count).map(move |byte| fine.then_some(byte))
    });
    readable(quads)
}

/// The end of a run that goes on in the following lines, as mail and `encode(…, 'base64')` cut it.
pub(crate) fn lines(text: &[u8], start: usize, end: usize) -> usize {
    let line = end - start;
    if !matches!(at(text, end), b'\r' | b'\n') || !(LINE_MIN..=LINE_MAX).contains(&line) || !line.is_multiple_of(4) {
        return end;
    }
    let mut end = end;
    loop {
        let next = end + usize::from(at(text, end) == b'\r') + 1;
        let length = class::run(text, next, class::RUN);
        if at(text, next - 1) != b'\n' || length == 0 || length > line {
            return end;
        }
        end = next + length;
        if length < line {
            return end + slice(text, end, end + 2).iter().take_while(|b| **b == b'=').count();
        }
    }
}

/// The pieces of a long run that are decoded on their own.
pub(crate) fn pieces(start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    (start..end).step_by(PIECE_BYTES).map(move |from| (from, end.min(from + PIECE_BYTES)))
}

/// The bytes at the beginning that are looked at before anything is kept: whole groups of base64.
const HEAD_BYTES: usize = 12;

/// What stands in no text.
const fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f
}

/// The bytes, as long as they read as text.
fn readable(bytes: impl Iterator<Item = Option<u8>>) -> Option<Vec<u8>> {
    let mut text: Vec<u8> = Vec::new();
    let mut high = 0;
    for byte in bytes {
        let byte = byte?;
        high += usize::from(byte >= 0x80);
        if high > 3 && high > text.len() / 2 {
            return None;
        }
        if is_control(byte) {
            return None;
        }
        text.push(byte);
    }
    // Random bytes that happen to hold no control character are hardly ever valid text.
    (std::str::from_utf8(&text).is_ok() && text.len() >= 8).then_some(text)
}

/// What a table has where there is no value.
const NONE: u8 = 0xff;

/// The values of all bytes as hexadecimal digits, and as characters of base64 in either alphabet.
static VALUES: [(u8, u8); 256] = {
    let mut all = [(NONE, NONE); 256];
    let mut byte: u8 = 255;
    loop {
        let nibble = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => NONE,
        };
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => NONE,
        };
        #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "a byte is an index of 256 places")]
        {
            all[byte as usize] = (nibble, sextet);
        }
        if byte == 0 {
            break all;
        }
        byte -= 1;
    }
};

fn nibble(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).map(|(nibble, _)| *nibble).filter(|value| *value != NONE)
}

fn sextet(byte: u8) -> Option<u32> {
    VALUES.get(usize::from(byte)).map(|(_, sextet)| *sextet).filter(|value| *value != NONE).map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peeled(text: &str) -> Option<String> {
        peel(text.as_bytes()).map(|p| String::from_utf8(p.text).unwrap())
    }

    #[test]
    fn layers() {
        for (text, plain) in [
            ("john%40example.com", "john@example.com"),
            ("john&#64;example&period;com", "john@example.com"),
            ("john\\u0040example.com", "john@example.com"),
            ("john=40example=2Ecom", "john@example.com"),
            ("１２３－４５", "123-45"),
            ("12\u{200b}3", "123"),
            ("١٢٣", "123"),
            ("\x1b[31m12\x1b[0m3", "123"),
            ("1\u{a0}2", "1 2"),
        ] {
            assert_eq!(peeled(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["plain", "Amélie", "100 %", "a=b", "x&y", "C:\\dir"] {
            assert_eq!(peeled(text), None, "{text}");
        }
    }

    #[test]
    fn places() {
        let text = "a %40 b &amp; c";
        let peeled = peel(text.as_bytes()).unwrap();
        assert_eq!(peeled.text, b"a @ b & c");
        assert_eq!(peeled.source(2, 3), (2, 5));
        assert_eq!(peeled.source(4, 5), (6, 7));
        assert_eq!(peeled.source(0, 9), (0, text.len()));
        assert_eq!(peeled.source(8, 9), (14, 15));
    }

    #[test]
    fn encodings() {
        assert_eq!(decode(b"am9obkBleGFtcGxlLmNvbQ==").as_deref(), Some(&b"john@example.com"[..]));
        assert_eq!(decode(b"6a6f686e406578616d706c652e636f6d").as_deref(), Some(&b"john@example.com"[..]));
        assert_eq!(decode(b"e8e7660453c13733e42b3c8c9ef95d29"), None);
        assert_eq!(decode(b"7r/DkgFevJ+0dQPtJVzheeoIK/gKQ4ba"), None);
    }
}
