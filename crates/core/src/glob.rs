//! Patterns over names: `*` stands for any run of characters, everything else for itself.

/// Whether `text` fits `pattern`. Linear in both, whatever the number of stars.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(x) if x == c => {
                p += 1;
                t += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("shop_*", "shop_eu", true),
            ("shop_*", "shop", false),
            ("*_eu", "shop_eu", true),
            ("a*b*c", "aXXbYYbZc", true),
            ("a*b*c", "ac", false),
            ("", "", true),
            ("", "x", false),
            ("shop", "shop", true),
        ] {
            assert_eq!(matches_glob(pattern, text), fits, "{pattern} {text}");
        }
        assert!(!matches_glob(&"*a".repeat(500), &"a".repeat(499)), "many stars stay cheap");
    }
}
