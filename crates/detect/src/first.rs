//! The first look at a word: its length and its first bytes rule most of them out at once.
//!
//! It says nothing of what a word is, and it must let every word pass that is something: what may begin a secret, an account
//! number, an address or a national number is said again here, in a table, and a test holds it against those who know.

use crate::class::{self, at};
use crate::{national, passport};

/// Bytes that begin a secret's prefix, and that come second in one.
const SECRET: u8 = 1;
const SECRET_SECOND: u8 = 2;
/// Bytes that begin an address of a cryptocurrency.
const ADDRESS: u8 = 4;

/// The fewest characters of an address of a cryptocurrency.
pub(crate) const ADDRESS_MIN: usize = 14;

const fn begins(byte: u8) -> u8 {
    let secret = match byte {
        b'A' | b'G' | b'e' | b'g' | b'r' | b's' | b'w' | b'x' | b'y' => SECRET,
        _ => 0,
    };
    let second = match byte {
        b'K' | b'S' | b'B' | b'C' | b'I' | b'O' | b'a' | b'h' | b'i' | b'k' | b'o' | b'y' => SECRET_SECOND,
        _ => 0,
    };
    let address = match byte {
        b'0'..=b'3' | b'm' | b'n' | b'b' | b't' | b'B' => ADDRESS,
        _ => 0,
    };
    secret | second | address
}

/// What each byte begins.
static BEGINS: [u8; 256] = {
    let mut all = [0; 256];
    let mut byte: u8 = 255;
    loop {
        #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "a byte is an index of 256 places")]
        {
            all[byte as usize] = begins(byte);
        }
        if byte == 0 {
            break all;
        }
        byte -= 1;
    }
};

/// Whether the word at `start` may be a secret.
#[inline]
pub(crate) fn may_be_secret(text: &[u8], start: usize) -> bool {
    let begins = |place| BEGINS.get(usize::from(at(text, place))).copied().unwrap_or(0);
    (begins(start) & SECRET != 0) & (begins(start + 1) & SECRET_SECOND != 0)
}

/// Whether the word may be an account number: a country's letters and two digits.
#[inline]
pub(crate) fn may_be_account(text: &[u8], start: usize) -> bool {
    class::is(at(text, start), class::LETTER)
        & class::is(at(text, start + 1), class::LETTER)
        & class::is(at(text, start + 2), class::DIGIT)
        & class::is(at(text, start + 3), class::DIGIT)
}

/// Whether the word of this length may be an address of a cryptocurrency.
#[inline]
pub(crate) fn may_be_address(text: &[u8], start: usize, length: usize) -> bool {
    (length >= ADDRESS_MIN) & BEGINS.get(usize::from(at(text, start))).is_some_and(|begins| begins & ADDRESS != 0)
}

/// Whether the word of this length at `start` may be anything. All of it is computed and asked once: each question of its own
/// would be a wrong guess of the processor where letters and digits follow each other as dice fall.
#[inline]
pub(crate) fn may_be_something(text: &[u8], start: usize, length: usize) -> bool {
    may_be_secret(text, start)
        | may_be_account(text, start)
        | may_be_address(text, start, length)
        | national::may_be_word(length)
        | passport::may_be_number(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto, iban, secret};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Words that are secrets, addresses and numbers, and those that are nearly.
        #[test]
        fn a_word_that_is_ruled_out_is_nothing(
            head in prop_oneof![
                "[A-Za-z0-9]{0,4}",
                "(AKIA|ASIA|ABIA|ACCA|AIza|ya29[.]|GOCSPX-|gh[pousr]_|github_pat_|xox[a-z]-|xapp-|[sr]k_(live|test)_|whsec_)",
                "(1|3|m|n|2|bc1|tb1|BC1|0x|GB82WEST12345698765432|de89370400440532013000|NO93)",
                "(1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa|bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4)",
                "(12345678Z|X1234567L|RSSMRA85T10A562S|131052|AB123456C|S1234567D|A123456789|HEGG560427MVZRRL04)",
            ],
            body in prop_oneof![Just(""), Just("ABCDEFGH23456777"), Just("Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1Ab1")],
            more in prop_oneof![3 => "", 1 => "[A-Za-z0-9]{1,20}"],
            tail in "([ ._(+-][A-Za-z0-9_.-]{0,40})?",
        ) {
            let text = format!("{head}{body}{more}{tail}").into_bytes();
            let length = class::run(&text, 0, class::ALNUM);
            let word = text.get(..length).unwrap();
            if !may_be_secret(&text, 0) {
                prop_assert!(secret::token(&text, 0).is_none());
            }
            if !may_be_account(&text, 0) {
                prop_assert!(iban::iban(&text, 0).is_none());
            }
            if !may_be_address(&text, 0, length) {
                prop_assert!(!crypto::is_address(word));
            }
            if !may_be_something(&text, 0, length) {
                prop_assert!(national::word(&text, 0, length).is_none() && !passport::is_number(word));
            }
        }
    }

    /// Each way in which a secret or an address begins is let pass.
    #[test]
    fn what_is_something_passes() {
        let body = "Ab1".repeat(20);
        for head in [
            "AKIA",
            "ASIA",
            "ABIA",
            "ACCA",
            "AIza",
            "ya29.",
            "GOCSPX-",
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "xoxb-",
            "xapp-",
            "sk_live_",
            "rk_test_",
            "whsec_",
            "eyJhbGciOiJIUzI1NiJ9.ey.",
        ] {
            let body =
                if head.len() == 4 && head.starts_with('A') && head != "AIza" { "ABCDEFGH23456777" } else { &body };
            let text = format!("{head}{body}");
            assert!(secret::token(text.as_bytes(), 0).is_some() || head.starts_with("eyJ"), "{text}");
            assert!(may_be_secret(text.as_bytes(), 0), "{text}");
        }
        for address in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "0x52908400098527886E0F7030069857D2E4169EE7",
        ] {
            assert!(crypto::is_address(address.as_bytes()) && may_be_address(address.as_bytes(), 0, address.len()));
        }
        assert!(may_be_account(b"GB82WEST12345698765432", 0) && may_be_account(b"de89370400440532013000", 0));
    }
}
