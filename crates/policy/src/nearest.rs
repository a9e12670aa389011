//! "Did you mean": the known name that is closest to a misspelt one.

/// The name in `known` that `name` was most likely meant to be, if one is close enough: at most a third of the letters
/// differ, counting a swap of two neighbours as one difference. Ties go to the earlier name. Failing that, the only name
/// that begins with `name`.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(close) = closest(name, &known) {
        return Some(close);
    }
    let mut longer = known.into_iter().filter(|k| name.len() >= PREFIX_BYTES_MIN && k.starts_with(name));
    longer.next().filter(|_| longer.next().is_none())
}

/// Shorter beginnings say too little.
const PREFIX_BYTES_MIN: usize = 3;

fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded: Vec<char> = name.chars().take(LENGTH_MAX).flat_map(char::to_lowercase).collect();
    let allowed = (folded.len() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(&folded, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| *candidate)
}

/// Longer names are cut before they are compared: the cost is the product of the lengths.
const LENGTH_MAX: usize = 64;

/// The optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |cells: &[usize], k: usize| cells.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, j) + usize::from(x != y)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = above;
        above = row;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let known = ["targets", "listen", "classify", "policies", "has_where", "verb"];
        for (typed, meant) in [
            ("target", Some("targets")),
            ("lisetn", Some("listen")),
            ("clasify", Some("classify")),
            ("vreb", Some("verb")),
            ("HAS_WHERE", Some("has_where")),
            ("zebra", None),
            ("", None),
            ("x", None),
            ("has_", Some("has_where")),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
