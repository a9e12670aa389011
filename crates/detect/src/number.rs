//! Numbers as people write them: groups of digits with single separators between them.
//!
//! A [`Run`] begins at one group of digits and holds the groups that follow it, up to a bound, so that looking at every
//! group of a text stays linear. Scanners look at its beginnings: the first group, the first two, and so on.

use crate::class::{at, before, is_word};

/// Groups in a run, and digits in all of them.
const GROUPS_MAX: usize = 8;
const DIGITS_MAX: usize = 24;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing: the first group.
    None,
    Space,
    Dash,
    Dot,
    Slash,
    /// An underscore.
    Low,
    /// A parenthesis, with or without a blank or a dash.
    Paren,
    /// ` - `, `. ` and the like.
    Wide,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) gap: Gap,
    /// The digits up to the end of this group.
    pub(crate) digits: usize,
}

const NO_GROUP: Group = Group { start: 0, end: 0, gap: Gap::None, digits: 0 };

/// A number from its first group on.
pub(crate) struct Run<'a> {
    pub(crate) text: &'a [u8],
    groups: [Group; GROUPS_MAX],
    count: usize,
    digits: [u8; DIGITS_MAX],
}

/// The first groups of a run.
#[derive(Clone, Copy)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) groups: &'a [Group],
    pub(crate) digits: &'a [u8],
}

impl<'a> Run<'a> {
    /// A run without groups.
    #[inline]
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Run { text, groups: [NO_GROUP; GROUPS_MAX], count: 0, digits: [0; DIGITS_MAX] }
    }

    /// Reads the run that begins with the digit at `start`. False for a group that is longer than any number of interest.
    /// Where it stands, because moving it costs as much as reading it.
    pub(crate) fn read(&mut self, start: usize) -> bool {
        let text = self.text;
        let run = self;
        let mut digits = 0;
        let mut gap = Gap::None;
        let mut place = start;
        while run.count < GROUPS_MAX {
            let mut end = place;
            let mut total = digits;
            while at(text, end).is_ascii_digit() {
                if let Some(to) = run.digits.get_mut(total) {
                    *to = at(text, end) - b'0';
                } else {
                    return run.count > 0;
                }
                total += 1;
                end += 1;
            }
            digits = total;
            if let Some(group) = run.groups.get_mut(run.count) {
                *group = Group { start: place, end, gap, digits };
            }
            run.count += 1;
            let Some((next_gap, next)) = gap_at(text, end) else { break };
            gap = next_gap;
            place = next;
        }
        true
    }

    /// The number made of the first groups.
    pub(crate) fn first(&self, groups: usize) -> Option<Number<'_>> {
        let groups = self.groups.get(..groups.min(self.count))?;
        let digits = self.digits.get(..groups.last()?.digits)?;
        Some(Number { text: self.text, groups, digits })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

/// The separator that begins at `end`, and where the digits after it begin.
fn gap_at(text: &[u8], end: usize) -> Option<(Gap, usize)> {
    let one = at(text, end);
    let two = at(text, end + 1);
    let digit = |offset: usize| at(text, end + offset).is_ascii_digit();
    match one {
        b' ' | b'-' | b'.' | b'/' | b'_' if two.is_ascii_digit() => {
            let gap = match one {
                b' ' => Gap::Space,
                b'-' => Gap::Dash,
                b'.' => Gap::Dot,
                b'_' => Gap::Low,
                _ => Gap::Slash,
            };
            Some((gap, end + 1))
        }
        b'(' | b')' if two.is_ascii_digit() => Some((Gap::Paren, end + 1)),
        b')' if matches!(two, b' ' | b'-') && digit(2) => Some((Gap::Paren, end + 2)),
        b' ' | b'-' if two == b'(' && digit(2) => Some((Gap::Paren, end + 2)),
        b' ' if matches!(two, b'-' | b'/') && at(text, end + 2) == b' ' && digit(3) => Some((Gap::Wide, end + 3)),
        _ => None,
    }
}

impl Number<'_> {
    pub(crate) fn start(&self) -> usize {
        self.groups.first().map_or(0, |g| g.start)
    }

    pub(crate) fn end(&self) -> usize {
        self.groups.last().map_or(0, |g| g.end)
    }

    /// The number of digits in each group, in order.
    pub(crate) fn is_shape(&self, lengths: &[usize]) -> bool {
        self.groups.len() == lengths.len() && self.groups.iter().zip(lengths).all(|(g, n)| g.end - g.start == *n)
    }

    pub(crate) fn is_bare(&self) -> bool {
        self.groups.len() == 1
    }

    /// The gap that all groups have between them.
    pub(crate) fn gap(&self) -> Option<Gap> {
        let mut gaps = self.groups.iter().skip(1).map(|g| g.gap);
        let first = gaps.next()?;
        gaps.all(|gap| gap == first).then_some(first)
    }

    /// The gap before the group at `index`.
    pub(crate) fn gap_before(&self, index: usize) -> Gap {
        self.groups.get(index).map_or(Gap::None, |g| g.gap)
    }

    pub(crate) fn group_len(&self, index: usize) -> usize {
        self.groups.get(index).map_or(0, |g| g.end - g.start)
    }

    pub(crate) fn digit(&self, index: usize) -> u8 {
        self.digits.get(index).copied().unwrap_or(0)
    }

    /// Whether nothing after the number belongs to it.
    pub(crate) fn ends(&self) -> bool {
        ends(self.text, self.end())
    }
}

/// The end of the date in ISO 8601 that begins at `start`, with the time after it: `2024-03-04`, `2024-03-04 05:06:07.89Z`.
pub(crate) fn timestamp(text: &[u8], start: usize) -> Option<usize> {
    let digits = |from: usize, count: usize| (0..count).all(|i| at(text, start + from + i).is_ascii_digit());
    let is = |offset: usize, byte: u8| at(text, start + offset) == byte;
    let century = is(0, b'1') && is(1, b'9') || is(0, b'2') && is(1, b'0');
    let month = is(5, b'0') || is(5, b'1');
    let day = matches!(at(text, start + 8), b'0'..=b'3');
    if !(century && is(4, b'-') && is(7, b'-') && month && day && digits(2, 2) && digits(5, 2) && digits(8, 2)) {
        return None;
    }
    let time = (is(10, b' ') || is(10, b'T'))
        && digits(11, 2)
        && is(13, b':')
        && digits(14, 2)
        && is(16, b':')
        && digits(17, 2);
    if !time {
        return (!at(text, start + 10).is_ascii_digit() && !is(10, b'-')).then_some(start + 10);
    }
    let mut end = start + 19;
    if at(text, end) == b'.' {
        end += 1 + (0..9).take_while(|i| at(text, end + 1 + i).is_ascii_digit()).count();
    }
    Some(end)
}

/// Whether a number can begin at `start`: not inside a word, a version, a path or a longer number.
pub(crate) fn begins(text: &[u8], start: usize) -> bool {
    let previous = before(text, start);
    if is_word(previous) && previous < 0x80 || matches!(previous, b'$' | b'\\') {
        return false;
    }
    // A hyphen or a dot that joins it to what stands before.
    if matches!(previous, b'-' | b'.' | b'+') {
        let further = start.checked_sub(1).map_or(0, |i| before(text, i));
        return !further.is_ascii_alphanumeric() && further != b'_';
    }
    true
}

/// Whether a number can end at `end`.
pub(crate) fn ends(text: &[u8], end: usize) -> bool {
    let next = at(text, end);
    if next.is_ascii_alphanumeric() || next == b'_' || next == b'%' {
        return false;
    }
    if matches!(next, b'-' | b'.' | b':' | b'@') {
        let further = at(text, end + 1);
        return !(further.is_ascii_digit() || next == b'-' && further.is_ascii_alphanumeric());
    }
    true
}
