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

/// The class of a byte.
const fn class(byte: u8) -> u16 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'A'..=b'Z' | b'a'..=b'z' => LETTER,
        b'@' => AT,
        b':' => COLON,
        b'/' => SLASH,
        b'-' => DASH,
        b'<' => LESS,
        b'%' | b'\\' | b'&' | b'=' => ESCAPE,
        0x80..=0xff => HIGH,
        0 | 0x1b => CONTROL,
        _ => 0,
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
        // A second, plain loop: the compiler makes vector code of it.
        let digits = if classes & DIGIT == 0 { 0 } else { text.iter().filter(|b| b.is_ascii_digit()).count() };
        Summary { classes, digits }
    }

    /// Whether any of these classes occurs.
    pub(crate) fn has(self, classes: u16) -> bool {
        self.classes & classes != 0
    }
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

/// Whether a byte can be part of a word: letters, digits, underscore, and everything that is not ASCII.
#[inline]
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
