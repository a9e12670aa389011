//! National identity numbers: lengths, dates and check digits, by country.
//!
//! A number whose form alone makes chance unlikely stands by itself. One with a single check digit, which every tenth
//! number has by chance, must be called what it is, by a column's name or the words before it.

use crate::checks::{is_day, luhn, mod11_10, number as value, remainder, verhoeff, weighted};
use crate::class::{at, before, is_word, is_word_before, slice};
use crate::kind::Kind;
use crate::number::{Gap, Number};

/// A national number: which, where it ends, and whether it stands by itself.
pub(crate) struct National {
    pub(crate) kind: Kind,
    pub(crate) end: usize,
    pub(crate) itself: bool,
}

/// Whether six digits are a date of two digits each; the offsets are added to month and day in some countries.
#[inline]
fn is_ymd(d: &[u8]) -> bool {
    is_day(value(d, 2, 2), value(d, 4, 2))
}

#[inline]
fn is_dmy(d: &[u8]) -> bool {
    is_day(value(d, 2, 2), value(d, 0, 2))
}

#[inline]
fn digit(d: &[u8], at: usize) -> u32 {
    d.get(at).copied().map_or(0, u32::from)
}

/// The national numbers that the same digits are: as sets of kinds, all of them and those that stand by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) all: u64,
    pub(crate) itself: u64,
}

impl Found {
    #[inline]
    fn hit(&mut self, kind: Kind, itself: bool) {
        self.all |= kind.bit();
        self.itself |= if itself { kind.bit() } else { 0 };
    }

    /// The same where it is one, without asking.
    #[inline]
    pub(crate) fn hit_if(&mut self, kind: Kind, itself: bool, is: bool) {
        let bit = u64::from(is) * kind.bit();
        self.all |= bit;
        self.itself |= if itself { bit } else { 0 };
    }
}

/// Every national number that these digits are. By their count, so that it is known where the sums are compiled.
#[inline]
pub(crate) fn digits(number: &Number<'_>) -> Found {
    let d = number.digits;
    let mut found = Found::default();
    if d.len() < 8 || d.iter().all(|x| *x == number.digit(0)) {
        return found;
    }
    match d.len() {
        8 => d.first_chunk().into_iter().for_each(|d| eight(number, d, &mut found)),
        9 => d.first_chunk().into_iter().for_each(|d| nine(number, d, &mut found)),
        10 => d.first_chunk().into_iter().for_each(|d| ten(number, d, &mut found)),
        11 => d.first_chunk().into_iter().for_each(|d| eleven(number, d, &mut found)),
        12 => d.first_chunk().into_iter().for_each(|d| twelve(number, d, &mut found)),
        13 => d.first_chunk().into_iter().for_each(|d| thirteen(number, d, &mut found)),
        14 => d.first_chunk().into_iter().for_each(|d| fourteen(number, d, &mut found)),
        15 => d.first_chunk().into_iter().for_each(|d| fifteen(number, d, &mut found)),
        18 if number.is_bare() && is_chinese(d, value(d, 17, 1)) => found.hit(Kind::IdCn, true),
        _ => {}
    }
    found
}

/// Chile: 12.345.678-5, modulo 11 by 2 to 7 from the right.
#[inline]
fn rut<const N: usize>(number: &Number<'_>, d: &[u8; N], found: &mut Found) {
    let last = |at: usize| number.gap_before(at);
    let body = d.split_last().map_or(&[][..], |(_, body)| body);
    let sum: u32 = body.iter().rev().zip([2_u32, 3, 4, 5, 6, 7, 2, 3]).map(|(x, w)| u32::from(*x) * w).sum();
    if (11 - sum % 11) % 11 != digit(d, N - 1) {
        return;
    }
    if number.groups.len() == 4 && last(1) == Gap::Dot && last(2) == Gap::Dot && last(3) == Gap::Dash {
        found.hit(Kind::IdCl, true);
    } else if (number.is_bare() || number.groups.len() == 2 && last(1) == Gap::Dash) && digit(d, 0) != 0 {
        found.hit(Kind::IdCl, false);
    }
}

/// Whether the groups are of these lengths, with a blank or a dash between all of them.
fn spaced(number: &Number<'_>, lengths: &[usize]) -> bool {
    number.is_shape(lengths) && matches!(number.gap(), Some(Gap::Space | Gap::Dash))
}

/// Whether the groups are of these lengths, with a dash between all of them.
fn dashed(number: &Number<'_>, lengths: &[usize]) -> bool {
    number.is_shape(lengths) && number.gap() == Some(Gap::Dash)
}

fn eight(number: &Number<'_>, d: &[u8; 8], found: &mut Found) {
    rut(number, d, found);
}

fn nine(number: &Number<'_>, d: &[u8; 9], found: &mut Found) {
    rut(number, d, found);
    let dotted = matches!(number.gap(), Some(Gap::Space | Gap::Dash | Gap::Dot));
    if !(number.is_bare() || number.is_shape(&[3, 3, 3]) && dotted) {
        return;
    }
    // Netherlands: the sum by 9 to 2 and -1 is divisible by 11.
    let rest = weighted(d, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    if rest == digit(d, 8) {
        found.hit(Kind::IdNl, false);
    }
    // Portugal: modulo 11 by 9 to 2.
    if matches!(d[0], 1 | 2 | 3 | 5 | 6 | 8 | 9) && (if rest < 2 { 0 } else { 11 - rest }) == digit(d, 8) {
        found.hit(Kind::IdPt, false);
    }
    if luhn(d) {
        if d[0] != 0 && d[0] != 8 {
            found.hit(Kind::IdCa, false);
        }
        found.hit(Kind::IdIl, false);
    }
    // Australia: modulo 11 by the weights of the tax office.
    if weighted(d, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) {
        found.hit(Kind::IdAu, false);
    }
}

fn ten(number: &Number<'_>, d: &[u8; 10], found: &mut Found) {
    let bare = number.is_bare();
    // Czechia and Slovakia: yymmdd/nnnc, divisible by 11; women have 50 more in the month.
    let month = match value(d, 2, 2) {
        m @ 51..=62 => m - 50,
        m @ 71..=82 => m - 70,
        m @ 21..=32 => m - 20,
        m => m,
    };
    if is_day(month, value(d, 4, 2)) && remainder(d, 11) == 0 && (bare || number.is_shape(&[6, 4])) {
        found.hit(Kind::IdCz, number.gap_before(1) == Gap::Slash);
    }
    // Sweden: yymmdd-nnnc by Luhn; a coordination number has 60 more in the day.
    let day = value(d, 4, 2);
    let joined = bare || dashed(number, &[6, 4]);
    if joined && is_day(value(d, 2, 2), if day > 60 { day - 60 } else { day }) && luhn(d) {
        found.hit(Kind::IdSe, !bare);
    }
    // Denmark: ddmmyy-nnnn, without a check digit since 2007.
    if joined && is_dmy(d) && (!bare || weighted(d, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)) {
        found.hit(Kind::IdDk, false);
    }
    // Bulgaria: the month says the century.
    let month = match value(d, 2, 2) {
        m @ 21..=32 => m - 20,
        m @ 41..=52 => m - 40,
        m => m,
    };
    if bare && is_day(month, value(d, 4, 2)) && weighted(d, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == digit(d, 9) {
        found.hit(Kind::IdBg, false);
    }
    // NHS number: modulo 11 by 10 to 2.
    let sum = weighted(d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    if (bare || spaced(number, &[3, 3, 4])) && (11 - sum % 11) % 11 == digit(d, 9) {
        found.hit(Kind::IdGb, false);
    }
}

fn eleven(number: &Number<'_>, d: &[u8; 11], found: &mut Found) {
    let bare = number.is_bare();
    let last = |at: usize| number.gap_before(at);
    if bare || number.is_shape(&[3, 3, 3, 2]) {
        let first = weighted(d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10 % 11 % 10;
        let second = weighted(d, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10 % 11 % 10;
        if first == digit(d, 9) && second == digit(d, 10) {
            found.hit(Kind::IdBr, !bare && last(1) == Gap::Dot && last(3) == Gap::Dash);
        }
    }
    // Norway: ddmmyy, three digits, two check digits; the day is 40 more for foreigners.
    let day = value(d, 0, 2);
    if is_day(value(d, 2, 2), if day > 40 { day - 40 } else { day }) && (bare || spaced(number, &[6, 5])) {
        let one = (11 - weighted(d, &[3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11) % 11;
        let two = (11 - weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        if one == digit(d, 9) && two == digit(d, 10) {
            found.hit(Kind::IdNo, true);
        }
    }
    // Belgium: 97 minus the rest of the first nine, with a 2 before them for the born since 2000.
    if is_ymd(d) && (bare || number.is_shape(&[2, 2, 2, 3, 2]) || spaced(number, &[6, 3, 2])) {
        let nine = value(d, 0, 9);
        let check = value(d, 9, 2);
        let young = (nine % 97 + 2_000_000_000 % 97) % 97;
        if check == 97 - nine % 97 || check == 97 - young {
            found.hit(Kind::IdBe, true);
        }
    }
    if bare {
        // Poland: the month says the century.
        let month = value(d, 2, 2) % 20;
        if is_day(month, value(d, 4, 2))
            && (10 - weighted(d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10 == digit(d, 10)
        {
            found.hit(Kind::IdPl, false);
        }
        // Estonia and Lithuania: century and sex, then the date, modulo 11 twice.
        if (1..=8).contains(&d[0]) && is_day(value(d, 3, 2), value(d, 5, 2)) {
            let one = weighted(d, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
            let check = if one < 10 { one } else { weighted(d, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10 };
            if check == digit(d, 10) {
                found.hit(Kind::IdEe, false);
            }
        }
        // Türkiye.
        let odd = weighted(d, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
        let even = weighted(d, &[0, 1, 0, 1, 0, 1, 0, 1]);
        let ten = odd + even + digit(d, 9);
        if d[0] != 0 && (odd * 7 + 100 - even) % 10 == digit(d, 9) && ten % 10 == digit(d, 10) {
            found.hit(Kind::IdTr, false);
        }
    }
    let german = bare || spaced(number, &[2, 3, 3, 3]);
    if german && mod11_10(d) {
        // Croatia.
        if bare {
            found.hit(Kind::IdHr, false);
        }
        // Germany: one digit of the first ten twice or three times, modulo 11,10.
        if d[0] != 0 && is_tax_number(d) {
            found.hit(Kind::IdDe, false);
        }
    }
    // Argentina: sex or company, number, modulo 11.
    if matches!(value(d, 0, 2), 20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34) && (bare || dashed(number, &[2, 8, 1])) {
        let check = (11 - weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        if check == digit(d, 10) {
            found.hit(Kind::IdAr, !bare);
        }
    }
}

fn twelve(number: &Number<'_>, d: &[u8; 12], found: &mut Found) {
    let bare = number.is_bare();
    if d[0] >= 2 && (bare || spaced(number, &[4, 4, 4])) && verhoeff(d) {
        found.hit(Kind::IdIn, !bare);
    }
    // Sweden with the century.
    let [_, _, born @ ..] = d;
    if matches!(value(d, 0, 2), 18..=20) && (bare || dashed(number, &[8, 4])) && is_ymd(born) && luhn(born) {
        found.hit(Kind::IdSe, true);
    }
}

fn thirteen(number: &Number<'_>, d: &[u8; 13], found: &mut Found) {
    let bare = number.is_bare();
    // Switzerland: 756 and the check digit of EAN.
    if d.starts_with(&[7, 5, 6])
        && weighted(d, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
        && (bare || number.is_shape(&[3, 4, 4, 2]))
    {
        found.hit(Kind::IdCh, !bare);
    }
    // Korea: yymmdd-snnnnnc; numbers since 2020 have no check digit any more.
    if is_ymd(d) && (1..=8).contains(&d[6]) && (bare || dashed(number, &[6, 7])) {
        let check = (11 - weighted(d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10;
        if check == digit(d, 12) {
            found.hit(Kind::IdKr, !bare);
        } else if !bare {
            found.hit(Kind::IdKr, false);
        }
    }
    if bare && is_ymd(d) && d[10] <= 2 && matches!(d[11], 8 | 9) && luhn(d) {
        found.hit(Kind::IdZa, false);
    }
    // Romania: sex and century, date, county, modulo 11.
    if bare && (1..=9).contains(&d[0]) && is_day(value(d, 3, 2), value(d, 5, 2)) {
        let rest = weighted(d, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        if value(d, 7, 2) <= 52 && (if rest == 10 { 1 } else { rest }) == digit(d, 12) {
            found.hit(Kind::IdRo, false);
        }
    }
    // Thailand: modulo 11 by 13 to 2.
    if (1..=8).contains(&d[0]) && (bare || dashed(number, &[1, 4, 5, 2, 1])) {
        let sum = weighted(d, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        if (11 - sum % 11) % 10 == digit(d, 12) {
            found.hit(Kind::IdTh, !bare);
        }
    }
}

/// Brazil, companies: 12.345.678/0001-95.
fn fourteen(number: &Number<'_>, d: &[u8; 14], found: &mut Found) {
    let bare = number.is_bare();
    let check = |rest: u32| if rest < 2 { 0 } else { 11 - rest };
    if (bare || number.is_shape(&[2, 3, 3, 4, 2]))
        && check(weighted(d, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) == digit(d, 12)
        && check(weighted(d, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) == digit(d, 13)
    {
        found.hit(Kind::IdBr, !bare && number.gap_before(3) == Gap::Slash);
    }
}

/// France: sex, year, month, place, order, and 97 minus the rest.
fn fifteen(number: &Number<'_>, d: &[u8; 15], found: &mut Found) {
    let month = value(d, 3, 2);
    if matches!(d[0], 1..=4 | 7 | 8)
        && ((1..=12).contains(&month) || (20..=42).contains(&month))
        && (number.is_bare() || spaced(number, &[1, 2, 2, 2, 3, 3, 2]) || spaced(number, &[13, 2]))
    {
        let [body @ .., _, _] = d;
        if 97 - remainder(body, 97) == value(d, 13, 2) {
            found.hit(Kind::IdFr, true);
        }
    }
}

/// The rule of the German tax number: exactly one digit of the first ten is there more than once, twice or three times.
#[inline]
pub(crate) fn is_tax_number(d: &[u8]) -> bool {
    // How often each digit is there, in five bits each.
    const BITS: u32 = 5;
    const ONES: u64 = 0x2108_4210_8421;
    let counts = d.iter().take(10).fold(0_u64, |counts, x| counts + (1 << (u32::from(*x & 15) * BITS)));
    let at_least = |count: u64| (counts + (16 - count) * ONES) & (16 * ONES);
    at_least(2).count_ones() == 1 && at_least(4) == 0
}

/// China: province, date of birth, and ISO 7064 MOD 11-2 with `check` as the last.
pub(crate) fn is_chinese(d: &[u8], check: u32) -> bool {
    let year = value(d, 6, 4);
    (1900..2100).contains(&year)
        && matches!(value(d, 0, 2), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83)
        && is_day(value(d, 10, 2), value(d, 12, 2))
        && (weighted(d.get(..17).unwrap_or_default(), &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) + check)
            % 11
            == 1
}

/// The digits of a token in one place, as numbers.
fn ds(token: &[u8]) -> Option<Vec<u8>> {
    token.iter().map(|b| b.is_ascii_digit().then(|| b - b'0')).collect()
}

/// How long the words are that are a national number, or begin one: a bit for each length.
const WORDS: u32 = 1 << 2 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 15 | 1 << 16 | 1 << 18;

/// Whether a word of this length can be, or begin, a national number.
#[inline]
pub(crate) fn may_be_word(length: usize) -> bool {
    length < 32 && WORDS >> length & 1 == 1
}

/// The national number with letters in the word from `start` to `end`, or one that begins with this word.
pub(crate) fn word(text: &[u8], start: usize, end: usize) -> Option<National> {
    if is_word_before(text, start) || matches!(before(text, start), b'-' | b'.' | b'/') {
        return None;
    }
    let token = slice(text, start, end);
    let hit = |kind, end: usize, itself| {
        let next = at(text, end);
        (!next.is_ascii_alphanumeric() && next != b'_').then_some(National { kind, end, itself })
    };
    let first = *token.first()?;
    match token.len() {
        // Great Britain: AB 12 34 56 C.
        2 if first.is_ascii_uppercase() && at(text, end) == b' ' => {
            let spaced = slice(text, start, start + 13);
            let compact: Vec<u8> = spaced.iter().copied().filter(|b| *b != b' ').collect();
            let blanks = [2, 5, 8, 11].iter().all(|i| spaced.get(*i) == Some(&b' '));
            (blanks && is_nino(&compact)).then(|| hit(Kind::IdGb, start + 13, true)).flatten()
        }
        9 if is_nino(token) => hit(Kind::IdGb, end, true),
        // Spain.
        9 if is_spanish(token) => hit(Kind::IdEs, end, true),
        8 if at(text, end) == b'-' || at(text, end) == b' ' => {
            let mut whole = token.to_vec();
            whole.push(at(text, end + 1));
            is_spanish(&whole).then(|| hit(Kind::IdEs, end + 2, at(text, end) == b'-')).flatten()
        }
        9 if is_singaporean(token) => hit(Kind::IdSg, end, true),
        10 if is_taiwanese(token) => hit(Kind::IdTw, end, true),
        // Hong Kong: A123456(3).
        7 | 8 if at(text, end) == b'(' && at(text, end + 2) == b')' => {
            is_hong_kong(token, at(text, end + 1)).then(|| hit(Kind::IdHk, end + 3, true)).flatten()
        }
        // Finland: ddmmyy, a sign for the century, nnn and a check character.
        6 if matches!(at(text, end), b'-' | b'+') => {
            let tail = slice(text, end + 1, end + 5);
            is_finnish(token, tail).then(|| hit(Kind::IdFi, end + 5, true)).flatten()
        }
        11 if token.get(6).is_some_and(u8::is_ascii_uppercase) => {
            let (date, tail) = (token.get(..6)?, token.get(7..)?);
            let sign = matches!(token.get(6)?, b'A'..=b'F' | b'U'..=b'Y');
            (sign && is_finnish(date, tail)).then(|| hit(Kind::IdFi, end, true)).flatten()
        }
        16 if is_italian(token) => hit(Kind::IdIt, end, true),
        18 if token.last().is_some_and(|b| matches!(b, b'X' | b'x')) => {
            let d = ds(token.get(..17)?)?;
            is_chinese(&d, 10).then(|| hit(Kind::IdCn, end, true)).flatten()
        }
        18 if is_mexican(token) => hit(Kind::IdMx, end, true),
        // France, born in Corsica.
        15 if matches!(slice(token, 5, 7), b"2A" | b"2B") => {
            let mut plain = token.to_vec();
            let corsican = if plain.get(6) == Some(&b'A') { b'9' } else { b'8' };
            *plain.get_mut(5)? = b'1';
            *plain.get_mut(6)? = corsican;
            let d = ds(&plain)?;
            (97 - remainder(d.get(..13)?, 97) == value(&d, 13, 2)).then(|| hit(Kind::IdFr, end, true)).flatten()
        }
        _ => None,
    }
}

/// Chile with the check character K: the dash and the K after a number such as `12.345.678`.
pub(crate) fn rut_k(number: &Number<'_>) -> Option<National> {
    let end = number.end();
    let text = number.text;
    if !matches!(number.digits.len(), 7 | 8) || at(text, end) != b'-' || !matches!(at(text, end + 1), b'K' | b'k') {
        return None;
    }
    let sum: u32 = number.digits.iter().rev().zip([2_u32, 3, 4, 5, 6, 7, 2, 3]).map(|(x, w)| u32::from(*x) * w).sum();
    let fine = (11 - sum % 11) % 11 == 10 && !is_word(at(text, end + 2));
    fine.then_some(National { kind: Kind::IdCl, end: end + 2, itself: number.gap() == Some(Gap::Dot) })
}

fn is_nino(token: &[u8]) -> bool {
    let [a, b, d @ .., last] = token else { return false };
    token.len() == 9
        && a.is_ascii_uppercase()
        && b.is_ascii_uppercase()
        && !matches!(a, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(b, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && !matches!(
            [*a, *b],
            [b'B', b'G'] | [b'G', b'B'] | [b'K', b'N'] | [b'N', b'K'] | [b'N', b'T'] | [b'T', b'N'] | [b'Z', b'Z']
        )
        && d.iter().all(u8::is_ascii_digit)
        && matches!(last, b'A'..=b'D')
}

fn is_spanish(token: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((check, body)) = token.split_last() else { return false };
    if body.len() != 8 || !check.is_ascii_uppercase() {
        return false;
    }
    let prefix = match body.first() {
        Some(b'X') => b'0',
        Some(b'Y') => b'1',
        Some(b'Z') => b'2',
        Some(digit) => *digit,
        None => return false,
    };
    let mut all = vec![prefix];
    all.extend_from_slice(slice(body, 1, 8));
    let Some(d) = ds(&all) else { return false };
    let rest = usize::try_from(value(&d, 0, 8) % 23).unwrap_or(0);
    LETTERS.get(rest) == Some(check)
}

fn is_singaporean(token: &[u8]) -> bool {
    let (Some(first), Some((check, _)), Some(d)) = (token.first(), token.split_last(), ds(slice(token, 1, 8))) else {
        return false;
    };
    let sum = weighted(&d, &[2, 7, 6, 5, 4, 3, 2]);
    let (add, letters): (u32, &[u8]) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let at = (sum + add) % 11;
    let at = if *first == b'M' { 10 - at } else { at };
    letters.get(usize::try_from(at).unwrap_or(0)) == Some(check)
}

fn is_taiwanese(token: &[u8]) -> bool {
    const LETTERS: &[u8; 26] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some(first) = token.first() else { return false };
    let Some(code) = LETTERS.iter().position(|l| l == first).and_then(|p| u32::try_from(p + 10).ok()) else {
        return false;
    };
    let Some(d) = ds(slice(token, 1, 10)) else { return false };
    matches!(d.first(), Some(1 | 2 | 8 | 9))
        && (code / 10 + code % 10 * 9 + weighted(&d, &[8, 7, 6, 5, 4, 3, 2, 1, 1])).is_multiple_of(10)
}

fn is_hong_kong(token: &[u8], check: u8) -> bool {
    let letter = |b: u8| u32::from(b.wrapping_sub(b'A')) + 10;
    let (sum, d) = match token {
        [a, d @ ..] if token.len() == 7 && a.is_ascii_uppercase() => (36 * 9 + letter(*a) * 8, d),
        [a, b, d @ ..] if token.len() == 8 && a.is_ascii_uppercase() && b.is_ascii_uppercase() => {
            (letter(*a) * 9 + letter(*b) * 8, d)
        }
        _ => return false,
    };
    let Some(d) = ds(d) else { return false };
    let last = match check {
        b'0'..=b'9' => u32::from(check - b'0'),
        b'A' => 10,
        _ => return false,
    };
    (sum + weighted(&d, &[7, 6, 5, 4, 3, 2]) + last).is_multiple_of(11)
}

fn is_finnish(date: &[u8], tail: &[u8]) -> bool {
    const CHECKS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let (Some(d), Some((check, serial))) = (ds(date), tail.split_last()) else { return false };
    let Some(serial) = ds(serial) else { return false };
    if d.len() != 6 || serial.len() != 3 || !is_dmy(&d) {
        return false;
    }
    let rest = (value(&d, 0, 6) * 1000 + value(&serial, 0, 3)) % 31;
    CHECKS.get(usize::try_from(rest).unwrap_or(0)) == Some(check)
}

fn is_italian(token: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    // Where digits are; a letter of LMNPQRSTUV may stand for one.
    let numeric = [6, 7, 9, 10, 12, 13, 14];
    let mut sum = 0;
    for (place, byte) in token.iter().enumerate() {
        let upper = byte.to_ascii_uppercase();
        let fine = if numeric.contains(&place) {
            upper.is_ascii_digit() || matches!(upper, b'L' | b'M' | b'N' | b'P'..=b'V')
        } else {
            upper.is_ascii_uppercase()
        };
        if !fine || place == 8 && !b"ABCDEHLMPRST".contains(&upper) {
            return false;
        }
        let value = if upper.is_ascii_digit() { upper - b'0' } else { upper - b'A' };
        if place == 15 {
            return sum % 26 == u32::from(value);
        }
        sum += if place % 2 == 0 { ODD.get(usize::from(value)).copied().unwrap_or(0) } else { u32::from(value) };
    }
    false
}

fn is_mexican(token: &[u8]) -> bool {
    const ALPHABET: &str = "0123456789ABCDEFGHIJKLMN\u{d1}OPQRSTUVWXYZ";
    let mut sum = 0;
    for (place, byte) in token.iter().enumerate() {
        let fine = match place {
            4..=9 => byte.is_ascii_digit(),
            10 => matches!(byte, b'H' | b'M' | b'X'),
            16 => byte.is_ascii_alphanumeric(),
            17 => {
                return byte.is_ascii_digit() && (10 - sum % 10) % 10 == u32::from(byte - b'0');
            }
            _ => byte.is_ascii_uppercase(),
        };
        let at = ALPHABET.chars().position(|c| c == char::from(*byte)).and_then(|p| u32::try_from(p).ok());
        let (true, Some(at)) = (fine, at) else { return false };
        if place == 9 {
            let d = ds(slice(token, 4, 10)).unwrap_or_default();
            if !is_ymd(&d) {
                return false;
            }
        }
        sum += at * (18 - u32::try_from(place).unwrap_or(0));
    }
    false
}
