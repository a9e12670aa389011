//! Machine-readable zones (ICAO Doc 9303) and passport numbers that are called so.

use crate::class::{at, slice};

/// The value of a character in a check: digits, letters from 10, the filler 0.
fn weight(byte: u8) -> Option<u32> {
    match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'A'..=b'Z' => Some(u32::from(byte - b'A') + 10),
        b'<' => Some(0),
        _ => None,
    }
}

/// Whether `check` is the digit of `field`, by 7, 3, 1.
fn checks(field: &[u8], check: u8) -> bool {
    let mut sum = 0;
    for (byte, factor) in field.iter().zip([7, 3, 1].into_iter().cycle()) {
        let Some(value) = weight(*byte) else { return false };
        sum += value * factor;
    }
    check.is_ascii_digit() && sum % 10 == u32::from(check - b'0') || check == b'<' && sum == 0
}

/// Characters of a zone's lines.
const fn is_zone(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'<'
}

/// The zone's line from `start` to `end`: numbers and dates with their check digits.
fn line(zone: &[u8]) -> bool {
    let field = |from: usize, to: usize| checks(slice(zone, from, to), at(zone, to));
    match zone.len() {
        // Passports (TD3) and cards of two lines (TD2): number, nationality, birth, sex, expiry.
        44 | 36 => field(0, 9) && field(13, 19) && field(21, 27) && matches!(at(zone, 20), b'M' | b'F' | b'X' | b'<'),
        // Cards of three lines (TD1): the first has the number, the second birth, sex, expiry.
        30 => {
            field(5, 14) && matches!(at(zone, 0), b'I' | b'A' | b'C')
                || field(0, 6) && field(8, 14) && matches!(at(zone, 7), b'M' | b'F' | b'X' | b'<')
        }
        _ => false,
    }
}

/// The machine-readable zones of a text, with the lines of names beside them.
pub(crate) fn zones(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut start = 0;
    // A line of a name that may belong to the next line.
    let mut named: Option<usize> = None;
    while start < text.len() {
        let length = slice(text, start, text.len()).iter().take_while(|b| is_zone(**b)).count();
        if length == 0 {
            if !matches!(at(text, start), b'\n' | b'\r' | b' ' | b'\\' | b'n') {
                named = None;
            }
            start += 1;
            continue;
        }
        let zone = slice(text, start, start + length);
        if line(zone) {
            let mut end = start + length;
            // A card has three lines; the names stand in the third.
            for _ in 0..if length == 30 { 2 } else { 0 } {
                let blank = slice(text, end, text.len()).iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
                let next = slice(text, end + blank, text.len()).iter().take(31).take_while(|b| is_zone(**b)).count();
                if blank > 2 || next != 30 {
                    break;
                }
                end += blank + 30;
            }
            found(named.take().unwrap_or(start), end);
            start = end;
            continue;
        }
        let name = matches!(length, 36 | 44) && zone.windows(2).any(|w| w == b"<<");
        named = name.then_some(start);
        start += length;
    }
}

/// Whether a word of this length can be a passport's number.
#[inline]
pub(crate) fn may_be_number(length: usize) -> bool {
    (6..=9).contains(&length)
}

/// Whether a word can be a passport's number, where something calls it so.
pub(crate) fn is_number(token: &[u8]) -> bool {
    may_be_number(token.len())
        && token.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && token.iter().filter(|b| b.is_ascii_digit()).count() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specimens_of_the_standard() {
        let two = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10";
        let three = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<";
        for text in [two, three] {
            let mut all = Vec::new();
            zones(text.as_bytes(), |start, end| all.push((start, end)));
            assert_eq!(all.first().map(|z| z.0), Some(0));
            assert_eq!(all.last().map(|z| z.1), Some(text.len()));
        }
        let mut none = 0;
        zones(two.replace("740812", "740813").as_bytes(), |_, _| none += 1);
        assert_eq!(none, 0);
    }
}
