//! When two spellings of a user name are one person's. Who counts as whom in policies is the exact name; but where somebody could
//! gain by being taken for somebody else (approving what they asked for, living on after they were disabled or revoked), spellings
//! that people and identity providers take for the same are the same here.

use unicode_normalization::UnicodeNormalization as _;

/// The form of a name in which it is compared: without regard to case, to how accents are put together, to width and ligatures,
/// and to characters that nobody sees.
pub fn name_key(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let plain: String = name.nfkc().filter(|c| !is_invisible(*c)).collect();
    // By way of capitals, because some small letters have several forms of one capital.
    plain.to_uppercase().to_lowercase().nfkc().collect()
}

/// Whether two names are one person's.
pub fn is_same_name(one: &str, other: &str) -> bool {
    one == other || name_key(one) == name_key(other)
}

/// What is not shown (Unicode's `Default_Ignorable_Code_Point`).
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (one, other) in [
            ("alice", "ALICE"),
            ("alice", "Alice"),
            ("m\u{fc}ller@example.com", "mu\u{308}ller@example.com"),
            ("m\u{fc}ller", "M\u{dc}LLER"),
            ("alice", "\u{ff41}\u{ff2c}ice"),
            ("alice", "ali\u{200b}ce"),
            ("alice", "\u{2066}alice\u{2069}"),
            ("kim", "\u{212a}im"),
            ("sam", "\u{17f}am"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3c3}\u{3b1}\u{3c2}", "\u{3c3}\u{3b1}\u{3c3}"),
            ("\u{fb01}n", "fin"),
        ] {
            assert!(is_same_name(one, other), "{one:?} {other:?}");
            assert_eq!(name_key(&name_key(one)), name_key(one), "{one:?}");
            assert_eq!(name_key(&name_key(other)), name_key(other), "{other:?}");
        }
    }

    #[test]
    fn other_names_are_others() {
        for (one, other) in
            [("alice", "alice2"), ("alice", "alicia"), ("alice", "a lice"), ("m\u{fc}ller", "muller"), ("bob", "b.ob")]
        {
            assert!(!is_same_name(one, other), "{one:?} {other:?}");
        }
    }
}
