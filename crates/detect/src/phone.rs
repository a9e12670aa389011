//! Telephone numbers: country codes with the lengths of their national numbers (ITU-T E.164), and the ways in which
//! countries write their own numbers.
//!
//! What is looked for is a possible number, not an assigned one: plans change, and a gap in a table is a leak.

use crate::class::{at, before};
use crate::number::{Gap, Number, Run, begins, ends};

/// How surely a number is a telephone's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sure {
    /// Where something says that it is one: a column's name, a word before it.
    IfCalledSo,
    /// As a whole field of a record about people.
    AsField,
    /// By itself.
    Itself,
}

/// A telephone number: how surely, and where.
pub(crate) struct Phone {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) sure: Sure,
}

/// The shortest and the longest national number after a country code, and the code's own length.
fn country(digits: &[u8]) -> Option<(usize, usize, usize)> {
    let code = |count| crate::checks::number(digits, 0, count);
    let (min, max) = match code(1) {
        1 | 7 => (10, 10),
        _ => (0, 0),
    };
    if max > 0 {
        return Some((1, min, max));
    }
    let two = match code(2) {
        20 => (8, 10),
        27 | 31 | 33 | 34 | 48 | 61 | 93 | 94 => (9, 9),
        30 | 90 | 91 => (10, 10),
        32 | 51 | 66 => (8, 9),
        36 => (8, 9),
        39 => (6, 11),
        40 | 41 => (9, 9),
        43 => (4, 13),
        44 => (9, 10),
        45 => (8, 8),
        46 => (7, 10),
        47 => (8, 8),
        49 => (5, 12),
        52 => (10, 11),
        53 => (6, 8),
        54 | 55 => (10, 11),
        56 => (9, 9),
        57 => (8, 10),
        58 => (10, 10),
        60 | 63 | 64 => (8, 10),
        62 => (8, 12),
        65 => (8, 8),
        81 => (9, 10),
        82 => (8, 11),
        84 => (9, 10),
        86 => (9, 11),
        92 => (9, 10),
        95 => (7, 10),
        98 => (10, 10),
        _ => (0, 0),
    };
    if two.1 > 0 {
        return Some((2, two.0, two.1));
    }
    let three = match code(3) {
        420 | 421 | 351 | 380 => (9, 9),
        211..=213 | 216 | 218 | 220..=269 | 290 | 291 | 297..=299 | 350..=389 => (5, 12),
        423 | 500..=509 | 590..=599 | 670 | 672..=692 => (5, 10),
        800 | 808 | 850 | 852 | 853 | 855 | 856 | 870 | 878 | 880..=883 | 886 | 888 => (6, 12),
        960..=968 | 970..=977 | 979 | 992..=996 | 998 => (6, 10),
        _ => return None,
    };
    Some((3, three.0, three.1))
}

/// The telephone number that begins with a run's first group.
pub(crate) fn phone(run: &Run<'_>) -> Option<Phone> {
    let first = run.first(1)?;
    let text = run.text;
    let digits_start = first.start();
    let mut start = digits_start;
    // A parenthesis around the first group belongs to the number, one around all of it does not.
    let closed = at(text, first.end()) == b')';
    let open = closed && before(text, start) == b'(';
    if open {
        start -= 1;
    }
    let plus = before(text, start) == b'+';
    if plus {
        start -= 1;
        if closed && !open && before(text, start) == b'(' {
            start -= 1;
        }
    }
    if !begins(text, start) || !plus && before(text, start) == b'/' {
        return None;
    }
    let mut best: Option<Phone> = None;
    for count in 1..=run.len() {
        let Some(number) = run.first(count) else { break };
        if number.digits.len() > 17 {
            break;
        }
        if number.digits.len() < 7 || breaks(&number, plus) {
            continue;
        }
        let sure = if plus { international(&number, 0) } else { national(&number, open) };
        let Some(sure) = sure else { continue };
        let end = extension(text, number.end());
        if !ends(text, end) {
            continue;
        }
        if best.as_ref().is_none_or(|b| b.sure <= sure) {
            best = Some(Phone { start, end, sure });
        }
    }
    best
}

/// How surely digits in one piece are a telephone number, with nothing before and behind them that is written with one.
/// `repeated`: they are all the same.
#[inline]
pub(crate) fn bare(digits: &[u8], repeated: bool) -> Option<Sure> {
    let count = digits.len();
    if !(7..=17).contains(&count) || repeated {
        return None;
    }
    if let [0, 0, third, ..] = digits
        && *third != 0
        && international(&Number { text: &[], groups: &[], digits }, 2).is_some()
    {
        return Some(Sure::AsField);
    }
    match count {
        10 | 11 if digits.first() == Some(&0) => Some(Sure::AsField),
        10 if north_american(digits, 0) => Some(Sure::AsField),
        7..=13 => Some(Sure::IfCalledSo),
        _ => None,
    }
}

/// Whether all digits are the same.
#[inline]
fn is_repeated(number: &Number<'_>) -> bool {
    number.digits.iter().all(|d| *d == number.digit(0))
}

/// Whether the digits from `from` on are area, exchange and line of North America.
#[inline]
fn north_american(digits: &[u8], from: usize) -> bool {
    let two = |at: usize| digits.get(at).is_some_and(|digit| *digit >= 2);
    two(from) & two(from + 3) && digits.len() == from + 10
}

/// Whether the number is a date or a time, or is written as no telephone number is.
fn breaks(number: &Number<'_>, plus: bool) -> bool {
    let value = |index: usize| {
        let Some(group) = number.groups.get(index) else { return 0 };
        crate::checks::number(number.digits, group.digits - (group.end - group.start), group.end - group.start)
    };
    let shape = |lengths: [usize; 3]| lengths.iter().enumerate().all(|(i, n)| number.group_len(i) == *n);
    let year = |value: u32| (1900..2100).contains(&value);
    let gap = number.gap_before(1);
    if matches!(gap, Gap::Dot | Gap::Dash | Gap::Slash | Gap::Space) && gap == number.gap_before(2) {
        if shape([2, 2, 4]) && year(value(2)) && value(0) <= 31 && value(1) <= 31 {
            return true;
        }
        if shape([4, 2, 2]) && year(value(0)) && value(1) <= 12 && value(2) <= 31 {
            return true;
        }
    }
    // Amounts such as `1.234.567` and decimals.
    number.groups.len() == 2 && gap == Gap::Dot
        || number.groups.iter().skip(1).any(|g| g.gap == Gap::Slash)
            && number.groups.len() > 2
            && !after_area(number)
            && !(plus && number.groups.iter().filter(|g| g.gap == Gap::Slash).count() == 1)
        || is_repeated(number)
}

/// Whether an area code with its 0 and a slash stand before groups that are joined in one way: `0471/12.34.56`.
fn after_area(number: &Number<'_>) -> bool {
    let rest = number.gap_before(2);
    number.digit(0) == 0
        && (3..=5).contains(&number.group_len(0))
        && number.gap_before(1) == Gap::Slash
        && matches!(rest, Gap::Dot | Gap::Space)
        && number.groups.iter().skip(2).all(|g| g.gap == rest)
}

/// `+` or an international prefix of so many digits before the country code.
fn international(number: &Number<'_>, prefix: usize) -> Option<Sure> {
    let digits = number.digits.get(prefix..)?;
    let (code, min, max) = country(digits)?;
    let mut rest = digits.len().checked_sub(code)?;
    // A national prefix in parentheses, or one that does not belong there and is often written.
    if digits.get(code) == Some(&0) {
        let parenthesised = number.groups.iter().skip(1).any(|g| g.end - g.start == 1 && g.gap == Gap::Paren);
        if parenthesised {
            rest -= 1;
        } else if rest == max + 1 {
            rest = max;
        }
    }
    (min..=max).contains(&rest).then_some(Sure::Itself)
}

/// A number without `+`.
fn national(number: &Number<'_>, open: bool) -> Option<Sure> {
    if number.is_bare() {
        return bare(number.digits, is_repeated(number));
    }
    let count = number.digits.len();
    if number.digits.starts_with(&[0, 0])
        && number.digit(2) != 0
        && let Some(sure) = international(number, 2)
    {
        return Some(sure);
    }
    if number.digits.starts_with(&[0, 1, 1])
        && count > 11
        && let Some(sure) = international(number, 3)
    {
        return Some(sure);
    }
    if !(7..=13).contains(&count) {
        return None;
    }
    if number.is_shape(&[3, 3, 4]) && north_american(number.digits, 0) {
        return Some(match number.gap_before(1) {
            Gap::Space if number.gap_before(2) == Gap::Space && !open => Sure::AsField,
            _ => Sure::Itself,
        });
    }
    if number.is_shape(&[1, 3, 3, 4]) && number.digit(0) == 1 && north_american(number.digits, 1) {
        return Some(Sure::Itself);
    }
    if number.is_shape(&[1, 3, 3, 2, 2]) && matches!(number.digit(0), 0 | 7 | 8) {
        return Some(Sure::Itself);
    }
    // Australia's numbers for businesses.
    if number.is_shape(&[4, 3, 3])
        && (number.digits.starts_with(&[1, 3, 0, 0]) || number.digits.starts_with(&[1, 8, 0, 0]))
    {
        return Some(Sure::Itself);
    }
    let groups = number.groups.len();
    let spaced =
        number.groups.iter().skip(1).all(|g| matches!(g.gap, Gap::Space | Gap::Dash | Gap::Paren | Gap::Slash));
    // A national prefix: 0 and an area, in whatever groups.
    if number.digit(0) == 0 && (9..=12).contains(&count) && groups <= 6 {
        let dotted = number.gap() == Some(Gap::Dot) && groups >= 4 || after_area(number);
        // As a postal code of the United States with its extension.
        if number.is_shape(&[5, 4]) && number.gap() == Some(Gap::Dash) {
            return Some(Sure::IfCalledSo);
        }
        if (spaced || dotted) && number.group_len(0) >= 2 && number.group_len(0) <= 6 {
            return Some(if number.group_len(0) == 6 { Sure::IfCalledSo } else { Sure::Itself });
        }
        return Some(Sure::IfCalledSo);
    }
    // An area code in parentheses.
    if open && spaced && number.gap_before(1) == Gap::Paren && (8..=12).contains(&count) {
        return Some(Sure::Itself);
    }
    // Brazil: area, then four or five digits and four.
    let joined = number.gap_before(2) == Gap::Dash && number.gap_before(1) != Gap::Dash;
    if (number.is_shape(&[2, 4, 4]) || number.is_shape(&[2, 5, 4])) && joined && number.digit(0) != 0 {
        return Some(Sure::Itself);
    }
    // Nine digits in threes and the like: Spain, Poland, Portugal; also how amounts are written.
    if spaced && (count == 9 && groups >= 3 || count == 10 || count == 11) && number.digit(0) >= 1 {
        let iberian = number.is_shape(&[3, 2, 2, 2]) || number.is_shape(&[2, 3, 2, 2]);
        return Some(if iberian && number.gap() == Some(Gap::Space) { Sure::Itself } else { Sure::AsField });
    }
    Some(Sure::IfCalledSo)
}

/// The end of the number with its extension: `x123`, ` ext. 123`, ` ext 123`, `#123`.
fn extension(text: &[u8], end: usize) -> usize {
    let mut place = end;
    if at(text, place) == b' ' {
        place += 1;
    }
    let letter = |offset: usize| at(text, place + offset).to_ascii_lowercase();
    let mark = match (letter(0), letter(1), letter(2), letter(3)) {
        (b'e', b'x', b't', b'.') => 4,
        (b'e', b'x', b't', _) => 3,
        (b'x', next, _, _) if place == end || next.is_ascii_digit() => 1,
        (b'#', _, _, _) => 1,
        _ => return end,
    };
    place += mark;
    if at(text, place) == b' ' {
        place += 1;
    }
    let mut last = place;
    while at(text, last).is_ascii_digit() && last - place < 7 {
        last += 1;
    }
    if last > place && last - place <= 6 { last } else { end }
}
