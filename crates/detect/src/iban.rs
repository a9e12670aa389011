//! International bank account numbers (ISO 13616): a country's length, then the check digits.

use crate::checks::mod97;
use crate::class::{at, is_word_before, slice};

/// The length of a country's number, from the IBAN registry.
const fn length(country: &[u8; 2]) -> Option<usize> {
    Some(match country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FK" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" | b"MN" => 20,
        b"CH" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"CR" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HN" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

const IBAN_MAX: usize = 34;
/// The longest gap between two groups: the quotes and the comma of an array.
const GAP_MAX: usize = 6;

/// The number that begins at `start`, which is at a letter; its end.
pub(crate) fn iban(text: &[u8], start: usize) -> Option<usize> {
    if is_word_before(text, start) {
        return None;
    }
    let country = [at(text, start).to_ascii_uppercase(), at(text, start + 1).to_ascii_uppercase()];
    if !at(text, start + 2).is_ascii_digit() || !at(text, start + 3).is_ascii_digit() {
        return None;
    }
    let wanted = length(&country)?;
    let mut characters = [0; IBAN_MAX];
    let mut count = 0;
    let mut place = start;
    // What stands between groups of four, if it is in groups: the same throughout.
    let mut gap: &[u8] = &[];
    while count < wanted {
        if count > 0 && count % 4 == 0 {
            if count == 4 {
                let signs = slice(text, place, (place + GAP_MAX).min(text.len()));
                let length = signs.iter().position(u8::is_ascii_alphanumeric)?;
                gap = slice(text, place, place + length);
            }
            if slice(text, place, place + gap.len()) != gap {
                return None;
            }
            place += gap.len();
        }
        let byte = at(text, place);
        if !byte.is_ascii_alphanumeric() {
            return None;
        }
        *characters.get_mut(count)? = byte;
        count += 1;
        place += 1;
    }
    if at(text, place).is_ascii_alphanumeric() || at(text, place) == b'_' {
        return None;
    }
    let whole = characters.get(..count)?;
    let (head, body) = whole.split_at_checked(4)?;
    mod97(body.iter().chain(head).copied()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        for text in [
            "GB82WEST12345698765432",
            "GB82 WEST 1234 5698 7654 32",
            "GB82_WEST_1234_5698_7654_32",
            "GB82\",\"WEST\",\"1234\",\"5698\",\"7654\",\"32",
            "de89370400440532013000",
            "NO9386011117947",
        ] {
            assert_eq!(iban(text.as_bytes(), 0), Some(text.len()), "{text}");
        }
        for text in [
            "GB82WEST12345698765433",
            "GB82WEST1234569876543",
            "GB82WEST123456987654321",
            "XX82WEST12345698765432",
            "GB82 WEST-1234 5698 7654 32",
        ] {
            assert_eq!(iban(text.as_bytes(), 0), None, "{text}");
        }
    }
}
