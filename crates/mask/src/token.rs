//! The keyed stand-ins, per family of values: what `token` and `hash` make of a value, and what a token is read back to.
//!
//! Everything here works on canonical values (the bytes of a text, a whole number, the bits of an address), so that a value
//! has the same stand-in in every column type, width and format that can hold it. Two sorts of token exist: permutations
//! (FF1) of numbers, digits and bits, which keep the type and the form, and sealed values, written as `tok_…`. Both show
//! which values are equal, and nothing else but what `docs/masking.md` lists for them.

use crate::ff1::{Domain, Ff1};
use crate::keys::LabelKeys;
use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::hmac;
use lockgate_core::limits::MASK_TOKEN_VALUE_BYTES_MAX;

/// What a sealed token begins with.
pub(crate) const TOKEN_PREFIX: &str = "tok_";
/// The shortest part of a digest or a sealed token that still tells values apart: 64 bits.
pub(crate) const DISTINCT_BITS_MIN: usize = 64;
/// Sealed values are padded to a multiple of this, so that the token of a short one does not show its length.
const SEAL_BLOCK_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Digits of a text that keeps its form: a domain of 10^6 at least, and halves that FF1 can hold.
const FORM_DIGITS_MIN: u32 = 6;
const FORM_DIGITS_MAX: u32 = 36;
const FORM_BYTES_MAX: usize = 64;
/// A walk leaves its range with a chance of at most one half per step.
const WALK_STEPS_MAX: usize = 200;

/// The families of values that are sealed; one cannot be opened as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Text,
    Json,
    Bytes,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Family::Text => "text",
            Family::Json => "json",
            Family::Bytes => "bytes",
        }
    }
}

/// Which way a permutation is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the value to its token.
    Token,
    /// From the token to its value.
    Value,
    /// From the value to its hash.
    Hash,
}

impl LabelKeys {
    /// The keyed digest of a value of a family.
    pub(crate) fn digest(&self, family: &str, value: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.digest);
        context.update(family.as_bytes());
        context.update(b"\0");
        context.update(value);
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        digest
    }

    /// A value as a sealed token: the tag, then the padded value encrypted. A value that is too long gives a digest, which
    /// nobody reads again.
    ///
    /// The nonce is fixed on purpose: equal values must give equal tokens. AES-GCM-SIV is made to bear that, and shows under
    /// one nonce which messages are equal and nothing more (RFC 8452, sections 1 and 9).
    pub(crate) fn seal(&self, family: Family, value: &[u8]) -> Option<Vec<u8>> {
        if value.len() > MASK_TOKEN_VALUE_BYTES_MAX {
            return Some(self.digest(family.name(), value).to_vec());
        }
        let mut text = Vec::with_capacity(value.len() + SEAL_BLOCK_BYTES);
        text.extend_from_slice(value);
        text.push(0x80);
        text.resize(text.len().next_multiple_of(SEAL_BLOCK_BYTES), 0);
        let aad = Aad::from(family.name());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = self.seal.seal_in_place_separate_tag(nonce, aad, &mut text).ok()?;
        Some([tag.as_ref(), &text].concat())
    }

    /// The value in a sealed token; `None` for anything that this label's key did not seal as this family.
    pub(crate) fn open(&self, family: Family, token: &[u8]) -> Option<Vec<u8>> {
        let (tag, sealed) = token.split_at_checked(TAG_BYTES)?;
        if sealed.len() > MASK_TOKEN_VALUE_BYTES_MAX + SEAL_BLOCK_BYTES {
            return None;
        }
        let aad = Aad::from(family.name());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let mut text = [sealed, tag].concat();
        let text = self.seal.open_in_place(nonce, aad, &mut text).ok()?;
        let end = text.iter().rposition(|byte| *byte != 0)?;
        let (value, mark) = text.get(..=end)?.split_at_checked(end)?;
        (mark == [0x80]).then(|| value.to_vec())
    }

    /// The permutation of a number among those of its size. The sign and the size class stay, so that the result fits every
    /// type that can hold the number.
    pub(crate) fn number(&self, way: Way, number: i64) -> Option<i64> {
        let negative = number < 0;
        // -1 has no magnitude 0 of its own: counted from -1 downwards, both signs have the same range.
        let size = u128::from(if negative { number.checked_add(1)?.unsigned_abs() } else { number.unsigned_abs() });
        for (class, (low, high, radix, length)) in NUMBER_CLASSES.iter().enumerate() {
            if !(*low..*high).contains(&size) {
                continue;
            }
            let domain = Domain::new(*radix, *length)?;
            let tweak = [b'n', u8::try_from(class).ok()?, u8::from(negative)];
            let mut shown = size;
            // Walking the cycle until it is back in the class keeps the permutation one of the class.
            for _ in 0..WALK_STEPS_MAX {
                shown = self.step(way, &domain, &tweak, shown)?;
                if (*low..*high).contains(&shown) {
                    let shown = i64::try_from(shown).ok()?;
                    return if negative { Some(-1 - shown) } else { Some(shown) };
                }
            }
            return None;
        }
        None
    }

    /// The permutation of `width` bits.
    pub(crate) fn bits(&self, way: Way, width: u32, tweak: &[u8], bits: u128) -> Option<u128> {
        self.step(way, &Domain::new(2, width)?, tweak, bits)
    }

    /// The permutation of a text's digits, when it consists of digits and of what commonly stands between them.
    pub(crate) fn digits(&self, way: Way, text: &[u8]) -> Option<Vec<u8>> {
        let (number, length) = form_number(text)?;
        let shown = self.step(way, &Domain::new(10, length)?, b"d", number)?;
        let digits = format!("{shown:0width$}", width = usize::try_from(length).ok()?);
        let mut digits = digits.bytes();
        text.iter().map(|byte| if byte.is_ascii_digit() { digits.next() } else { Some(*byte) }).collect()
    }

    /// The permutation of a UUID. Version 4 becomes version 8, the one for rules of one's own (RFC 9562 section 5.8), and 8
    /// becomes 4; other versions stay, so that every token can be read again.
    pub(crate) fn uuid(&self, way: Way, uuid: u128) -> Option<u128> {
        const LOW: u128 = (1 << 62) - 1;
        let version = u8::try_from(uuid >> 76 & 0xf).ok()?;
        let variant = u8::try_from(uuid >> 62 & 3).ok()?;
        let other = match version {
            4 => 8,
            8 => 4,
            same => same,
        };
        let original = if way == Way::Value { other } else { version };
        let tweak = [b'u', original, variant];
        let payload = uuid >> 80 << 74 | (uuid >> 64 & 0xfff) << 62 | uuid & LOW;
        let shown = self.bits(way, 122, &tweak, payload)?;
        let version = u128::from(other) << 76;
        Some(shown >> 74 << 80 | version | (shown >> 62 & 0xfff) << 64 | u128::from(variant) << 62 | shown & LOW)
    }

    fn step(&self, way: Way, domain: &Domain, tweak: &[u8], number: u128) -> Option<u128> {
        let (key, back): (&Ff1, bool) = match way {
            Way::Token => (&self.permute, false),
            Way::Value => (&self.permute, true),
            Way::Hash => (&self.scramble, false),
        };
        if back { key.decrypt(domain, tweak, number) } else { key.encrypt(domain, tweak, number) }
    }
}

/// Sizes of whole numbers that share a permutation: from, up to and without, and the domain that is walked. Each bound is
/// one that a type has: nine digits, `integer`, eighteen digits, `bigint`.
const NUMBER_CLASSES: [(u128, u128, u32, u32); 4] = [
    (0, 1_000_000_000, 10, 9),
    (1_000_000_000, 1 << 31, 2, 31),
    (1 << 31, 1_000_000_000_000_000_000, 10, 18),
    (1_000_000_000_000_000_000, 1 << 63, 2, 63),
];

/// The digits of a text as a number, and how many they are.
fn form_number(text: &[u8]) -> Option<(u128, u32)> {
    if text.len() > FORM_BYTES_MAX {
        return None;
    }
    let mut number: u128 = 0;
    let mut length = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' if length < FORM_DIGITS_MAX => {
                number = number * 10 + u128::from(byte - b'0');
                length += 1;
            }
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+' => {}
            _ => return None,
        }
    }
    (length >= FORM_DIGITS_MIN).then_some((number, length))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes of hexadecimal digits in either case.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Base 32 in lower case without padding (RFC 4648 section 6).
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << ((5 - group.len()) * 8);
        for place in (0..8).rev().take((group.len() * 8).div_ceil(5)) {
            let letter = usize::try_from(bits >> (place * 5) & 31).ok().and_then(|at| BASE32.get(at));
            out.extend(letter.map(|letter| char::from(*letter)));
        }
    }
    out
}

/// The bytes that [`base32`] writes as `text`; `None` when it writes nothing so.
pub(crate) fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 8 * 5 + 5);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over must be the zeros that were put there, and less than a letter.
    (bits == 0 && count < 5).then_some(out)
}

/// A UUID as it is written.
pub(crate) fn uuid_text(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The UUID that PostgreSQL writes as `text`.
pub(crate) fn uuid_of_text(text: &[u8]) -> Option<u128> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    Some(u128::from_be_bytes(unhex(&digits)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MaskKeys;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn keys() -> Arc<LabelKeys> {
        MaskKeys::new(&[7; 32]).label(&"pii/test".parse().unwrap()).unwrap()
    }

    #[test]
    fn base32_of_known_bytes() {
        // RFC 4648 section 10.
        for (bytes, text) in
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
            assert_eq!(unbase32(text).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["a", "mz", "mzxw6ytb1", "MY", "aaa", "mzxw6yta="] {
            assert_eq!(unbase32(bad), None, "{bad}");
        }
    }

    #[test]
    fn classes_keep_their_numbers() {
        let keys = keys();
        for number in [
            0,
            5,
            -1,
            999_999_999,
            1_000_000_000,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            i64::from(i32::MAX) + 1,
            999_999_999_999_999_999,
            1_000_000_000_000_000_000,
            i64::MAX,
            i64::MIN,
        ] {
            let token = keys.number(Way::Token, number).unwrap();
            assert_eq!(keys.number(Way::Value, token), Some(number));
            assert_eq!(token < 0, number < 0);
            assert_eq!(i32::try_from(token).is_ok(), i32::try_from(number).is_ok(), "{number} {token}");
            assert_ne!(keys.number(Way::Hash, number), Some(token));
        }
    }

    #[test]
    fn forms() {
        let keys = keys();
        let shown = |text: &str| keys.digits(Way::Token, text.as_bytes()).map(|v| String::from_utf8(v).unwrap());
        let card = shown("4111 1111 1111 1111").unwrap();
        assert_eq!((card.len(), &card[4..5], &card[14..15]), (19, " ", " "));
        // The separators are not part of the value.
        assert_eq!(shown("4111-1111-1111-1111").unwrap().replace('-', " "), card);
        assert_eq!(shown("4111111111111111").unwrap(), card.replace(' ', ""));
        for other in ["12345", "1-2-3-4-5", "", "123456x", "1234567890123456789012345678901234567", "１２３４５６７"]
        {
            assert_eq!(shown(other), None, "{other}");
        }
    }

    #[test]
    fn a_sealed_value_is_opened_by_its_own_key_and_as_its_own_family_only() {
        let keys = keys();
        let token = keys.seal(Family::Text, b"ann@example.com").unwrap();
        assert_eq!(keys.open(Family::Text, &token).as_deref(), Some(&b"ann@example.com"[..]));
        assert_eq!(keys.open(Family::Json, &token), None);
        let other = MaskKeys::new(&[7; 32]).label(&"pii/other".parse().unwrap()).unwrap();
        assert_eq!(other.open(Family::Text, &token), None);
        for at in 0..token.len() {
            let mut bad = token.clone();
            bad[at] ^= 1;
            assert_eq!(keys.open(Family::Text, &bad), None);
            assert_eq!(keys.open(Family::Text, &token[..at]), None);
        }
        // The length shows in steps only, and a long value gives a digest.
        let length = |bytes: usize| keys.seal(Family::Text, &vec![b'x'; bytes]).unwrap().len();
        assert_eq!([length(0), length(31), length(32), length(255), length(256)], [48, 48, 80, 272, 32]);
    }

    proptest! {
        #[test]
        fn every_token_is_read_back(number: i64, uuid: u128, bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let keys = keys();
            let token = keys.number(Way::Token, number).unwrap();
            prop_assert_eq!(keys.number(Way::Value, token), Some(number));
            let token = keys.uuid(Way::Token, uuid).unwrap();
            prop_assert_eq!(keys.uuid(Way::Value, token), Some(uuid));
            prop_assert_eq!(uuid_of_text(uuid_text(uuid).as_bytes()), Some(uuid));
            let token = keys.seal(Family::Bytes, &bytes).unwrap();
            prop_assert_eq!(keys.open(Family::Bytes, &token), Some(bytes.clone()));
            prop_assert_eq!(unbase32(&base32(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(unhex(hex(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn digits_are_read_back(text in "[-0-9 ./()+]{6,40}") {
            let keys = keys();
            if let Some(token) = keys.digits(Way::Token, text.as_bytes()) {
                prop_assert_eq!(token.len(), text.len());
                prop_assert_eq!(keys.digits(Way::Value, &token), Some(text.into_bytes()));
            }
        }

        #[test]
        fn what_is_no_token_is_not_opened(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,60}") {
            let keys = keys();
            prop_assert_eq!(keys.open(Family::Text, &bytes), None);
            let _ = (unbase32(&text), unhex(text.as_bytes()), uuid_of_text(text.as_bytes()), keys.digits(Way::Value, text.as_bytes()));
        }
    }
}
