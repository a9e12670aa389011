//! Bytes by class: the look at a value that decides which scanners can find anything in it.

/// Classes of bytes, one bit each.
pub(crate) const DIGIT: u16 = 1;
pub(crate) const AT: u16 = 2;
pub(crate) const COLON: u16 = 4;
pub(crate) const SLASH: u16 = 8;
pub(crate) const DASH: u16 = 16;
/// What escapes begin with: `%`, `\`, `&`, `=`.
pub(crate) const ESCAPE: u16 = 32;
/// Bytes of characters that are not ASCII.
pub(crate) const HIGH: u16 = 64;
pub(crate) const LETTER: u16 = 128;
pub(crate) const LESS: u16 = 256;
pub(crate) const CONTROL: u16 = 512;
pub(crate) const DOT: u16 = 1024;
pub(crate) const PLUS: u16 = 2048;
/// The letter of `www.`.
pub(crate) const W: u16 = 4096;
pub(crate) const UNDERSCORE: u16 = 8192;
/// The letters of hexadecimal.
pub(crate) const HEX: u16 = 16384;
/// What is of no other class.
pub(crate) const OTHER: u16 = 32768;

/// Letters and digits of ASCII.
pub(crate) const ALNUM: u16 = DIGIT | LETTER;
/// Characters of a run of base64, padding aside.
pub(crate) const RUN: u16 = ALNUM | PLUS | SLASH | UNDERSCORE | DASH;

/// The class of a byte.
const fn class(byte: u8) -> u16 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'A'..=b'F' | b'a'..=b'f' => LETTER | HEX,
        b'_' => UNDERSCORE,
        b'w' => LETTER | W,
        b'A'..=b'Z' | b'a'..=b'z' => LETTER,
        b'.' => DOT,
        b'+' => PLUS,
        b'@' => AT,
        b':' => COLON,
        b'/' => SLASH,
        b'-' => DASH,
        b'<' => LESS,
        b'%' | b'\\' | b'&' | b'=' => ESCAPE,
        0x80..=0xff => HIGH,
        0 | 0x1b => CONTROL,
        _ => OTHER,
    }
}

/// The classes of all bytes.
static CLASSES: [u16; 256] = {
    let mut all = [0; 256];
    let mut byte: u8 = 255;
    loop {
        #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "a byte is an index of 256 places")]
        {
            all[byte as usize] = class(byte);
        }
        if byte == 0 {
            break all;
        }
        byte -= 1;
    }
};

/// Whether a byte is of one of these classes. A look into a table, because letters and digits that follow each other as
/// dice fall make every comparison a wrong guess of the processor.
#[inline]
pub(crate) fn is(byte: u8, classes: u16) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|class| class & classes != 0)
}

/// How many bytes from `start` on are of these classes.
#[inline]
pub(crate) fn run(text: &[u8], start: usize, classes: u16) -> usize {
    let rest = slice(text, start, text.len());
    rest.iter().position(|b| !is(*b, classes)).unwrap_or(rest.len())
}

/// What a value is made of.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    /// The classes that occur.
    pub(crate) classes: u16,
    /// How many digits there are.
    pub(crate) digits: usize,
}

impl Summary {
    pub(crate) fn of(text: &[u8]) -> Self {
        let classes = text.iter().fold(0, |all, byte| all | CLASSES.get(usize::from(*byte)).copied().unwrap_or(0));
        // A second, plain loop, of which the compiler makes vector code: with sums of one byte each, many at once.
        let count = |part: &[u8]| usize::from(part.iter().map(|b| u8::from(b.is_ascii_digit())).sum::<u8>());
        let digits = if classes & DIGIT == 0 { 0 } else { text.chunks(usize::from(u8::MAX)).map(count).sum() };
        Summary { classes, digits }
    }

    /// Whether the whole value is one run of base64 or hexadecimal without padding.
    pub(crate) fn is_run(self) -> bool {
        self.classes & !(RUN | HEX | W) == 0
    }

    /// Whether any of these classes occurs.
    pub(crate) fn has(self, classes: u16) -> bool {
        self.classes & classes != 0
    }
}

/// Whether digits begin anywhere behind `start` but within a word of letters and digits. One plain pass, of which the compiler
/// makes vector code.
pub(crate) fn digits_apart(text: &[u8], start: usize) -> bool {
    let pairs = slice(text, start, text.len()).iter().zip(slice(text, start + 1, text.len()));
    pairs.fold(false, |any, (before, byte)| any | (byte.is_ascii_digit() & !before.is_ascii_alphanumeric()))
}

/// The byte at `at`; 0 outside.
#[inline]
pub(crate) fn at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The byte before `at`; 0 at the start.
#[inline]
pub(crate) fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|i| text.get(i)).copied().unwrap_or(0)
}

/// The bytes from `start` to `end`, empty where that is no range of the text.
#[inline]
pub(crate) fn slice(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// The length of the sign that begins at `place` and is not ASCII: quotes, dashes, ellipses, the punctuation of Chinese and
/// Japanese, full-width signs. 0 for letters.
pub(crate) fn sign(text: &[u8], place: usize) -> usize {
    match (at(text, place), at(text, place + 1), at(text, place + 2)) {
        // U+00A0 to U+00BF, without the letters ª, µ and º.
        (0xc2, 0xa0..=0xa9 | 0xab..=0xb4 | 0xb6..=0xb9 | 0xbb..=0xbf, _) => 2,
        // U+2000 to U+206F.
        (0xe2, 0x80 | 0x81, 0x80..=0xbf) => 3,
        // U+3000 to U+3003, U+3008 to U+3020.
        (0xe3, 0x80, 0x80..=0x83 | 0x88..=0xa0) => 3,
        // U+FF01 to U+FF0F, U+FF1A to U+FF20, U+FF3B to U+FF40, U+FF5B to U+FF65.
        (0xef, 0xbc, 0x81..=0x8f | 0x9a..=0xa0 | 0xbb..=0xbf) | (0xef, 0xbd, 0x80 | 0x9b..=0xa5) => 3,
        _ => 0,
    }
}

/// The length of the sign that ends at `place` and is not ASCII.
pub(crate) fn sign_before(text: &[u8], place: usize) -> usize {
    if before(text, place) < 0x80 {
        return 0;
    }
    [2, 3]
        .into_iter()
        .find(|length| place.checked_sub(*length).is_some_and(|from| sign(text, from) == *length))
        .unwrap_or(0)
}

/// Whether a word ends at `place`.
#[inline]
pub(crate) fn is_word_before(text: &[u8], place: usize) -> bool {
    is_word(before(text, place)) && sign_before(text, place) == 0
}

/// Whether a word goes on at `place`.
#[inline]
pub(crate) fn is_word_at(text: &[u8], place: usize) -> bool {
    is_word(at(text, place)) && sign(text, place) == 0
}

/// Whether a byte can be part of a word: letters, digits, underscore, and everything that is not ASCII.
#[inline]
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
