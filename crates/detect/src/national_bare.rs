//! The national numbers that digits in one piece are.
//!
//! Columns of keys, amounts and telephone numbers are full of such digits, and hardly one of them is a national number. So
//! all sums of one length are computed at once, from a table of the products of each place and digit, and what is as likely as
//! not is computed and not asked: it would be a wrong guess of the processor each time. What numbers are is said in
//! `national.rs`; a test holds what is found here against it.

use crate::bare::Bare;
use crate::checks::{is_day, luhn, mod11_10_of_eleven, number as value, verhoeff_of_twelve};
use crate::kind::Kind;
use crate::national::{Found, is_chinese, is_tax_number};

/// For each place and each digit: its products with the weights of several checks, side by side in equal parts of a word.
type Products<const N: usize> = [[u64; 16]; N];

/// The products with these weights.
#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
const fn products<const N: usize, const C: usize>(weights: [[u8; N]; C]) -> Products<N> {
    let mut table = [[0; 16]; N];
    let mut check = 0;
    while check < C {
        let mut sum = 0;
        let mut place = 0;
        while place < N {
            let weight = weights[check][place] as u64;
            let mut digit = 0;
            while digit < 10 {
                table[place][digit] |= (weight * digit as u64) << (check * (64 / C));
                digit += 1;
            }
            sum += weight * 9;
            place += 1;
        }
        assert!(C == 1 || sum >> (64 / C) == 0, "a sum goes beyond its part");
        check += 1;
    }
    table
}

/// The sums of several checks.
#[derive(Clone, Copy)]
struct Sums<const C: usize>(u64);

impl<const C: usize> Sums<C> {
    #[inline]
    fn of<const N: usize>(digits: &[u8; N], products: &Products<N>) -> Self {
        let product = |(digit, row): (&u8, &[u64; 16])| row.get(usize::from(digit & 15)).copied().unwrap_or(0);
        Sums(digits.iter().zip(products).map(product).sum())
    }

    #[inline]
    fn sum(self, check: usize) -> u32 {
        let part = (self.0 >> (check * (64 / C))) & 0xffff & (u64::MAX >> (64 - 64 / C));
        u32::try_from(part).unwrap_or(0)
    }

    /// The rest by 11.
    #[inline]
    fn rest(self, check: usize) -> u32 {
        self.sum(check) % 11
    }
}

/// `(11 - rest) % 11` of what is below 11.
#[inline]
fn to_eleven(rest: u32) -> u32 {
    if rest == 0 { 0 } else { 11 - rest }
}

/// `rest % 10` of what is below 11.
#[inline]
fn last(rest: u32) -> u32 {
    if rest == 10 { 0 } else { rest }
}

/// Ways of writing month and day, three bits each.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    /// Czechia: women have 50 more in the month, and whoever came when a day's numbers were used up has 20 more.
    Czech,
    /// Bulgaria: the month says the century.
    Bulgarian,
    /// Poland: it does too.
    Polish,
    /// Norway: the day is 40 more for foreigners.
    Norwegian,
    /// Sweden: a coordination number has 60 more in the day.
    Swedish,
}

impl Way {
    const fn shift(self) -> u32 {
        match self {
            Way::Plain => 0,
            Way::Czech => 3,
            Way::Bulgarian => 6,
            Way::Polish => 9,
            Way::Norwegian => 12,
            Way::Swedish => 15,
        }
    }
}

/// Of two digits as a month: the bit of how many days it has, in each way of writing it.
static MONTHS: [u32; 128] = two_digits(true);
/// Of two digits as a day: the bits of the months that have it, in each way of writing it.
static DAYS: [u32; 128] = two_digits(false);

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
const fn two_digits(month: bool) -> [u32; 128] {
    let mut table = [0; 128];
    let mut two = 0;
    while two < 100 {
        let plain = if month { days_of(two) } else { months_with(two) };
        let [czech, bulgarian, polish, norwegian, swedish] = if month {
            let czech = match two {
                51..=62 => two - 50,
                71..=82 => two - 70,
                21..=32 => two - 20,
                _ => two,
            };
            let bulgarian = match two {
                21..=32 => two - 20,
                41..=52 => two - 40,
                _ => two,
            };
            [days_of(czech), days_of(bulgarian), days_of(two % 20), plain, plain]
        } else {
            let norwegian = if two > 40 { two - 40 } else { two };
            let swedish = if two > 60 { two - 60 } else { two };
            [plain, plain, plain, months_with(norwegian), months_with(swedish)]
        };
        table[two as usize] = plain << Way::Plain.shift()
            | czech << Way::Czech.shift()
            | bulgarian << Way::Bulgarian.shift()
            | polish << Way::Polish.shift()
            | norwegian << Way::Norwegian.shift()
            | swedish << Way::Swedish.shift();
        two += 1;
    }
    table
}

/// One bit: it has 31 days, 30, or 29.
const fn days_of(month: u32) -> u32 {
    if is_day(month, 31) {
        1
    } else if is_day(month, 30) {
        2
    } else if is_day(month, 29) {
        4
    } else {
        0
    }
}

/// The bits of the months that have this day.
const fn months_with(day: u32) -> u32 {
    (if is_day(1, day) { 1 } else { 0 }) | (if is_day(4, day) { 2 } else { 0 }) | (if is_day(2, day) { 4 } else { 0 })
}

/// In which ways two digits each are a month and a day.
#[derive(Clone, Copy)]
struct Date(u32);

impl Date {
    #[inline]
    fn of(month: [u8; 2], day: [u8; 2]) -> Self {
        let known = |table: &[u32; 128], [tens, units]: [u8; 2]| {
            table.get(usize::from((tens * 10 + units) & 127)).copied().unwrap_or(0)
        };
        Date(known(&MONTHS, month) & known(&DAYS, day))
    }

    #[inline]
    fn is(self, way: Way) -> bool {
        self.0 >> way.shift() & 7 != 0
    }
}

/// Whether a number below 128 is one of a set.
#[inline]
fn is_one_of(number: u32, set: u128) -> bool {
    set >> (number & 127) & 1 == 1
}

/// The set of these numbers.
#[expect(clippy::indexing_slicing, reason = "computed when it is compiled")]
const fn set<const N: usize>(numbers: [u32; N]) -> u128 {
    let (mut all, mut at) = (0, 0);
    while at < N {
        all |= 1 << numbers[at];
        at += 1;
    }
    all
}

/// Every national number that these digits are.
#[inline]
pub(crate) fn digits(bare: &Bare) -> Found {
    let mut found = Found::default();
    if bare.is_repeated() {
        return found;
    }
    let all = bare.all();
    match bare.length() {
        8 => all.first_chunk().into_iter().for_each(|d| eight(d, &mut found)),
        9 => all.first_chunk().into_iter().for_each(|d| nine(bare, d, &mut found)),
        10 => all.first_chunk().into_iter().for_each(|d| ten(bare, d, &mut found)),
        11 => all.first_chunk().into_iter().for_each(|d| eleven(d, &mut found)),
        12 => all.first_chunk().into_iter().for_each(|d| twelve(d, &mut found)),
        13 => all.first_chunk().into_iter().for_each(|d| thirteen(bare, d, &mut found)),
        14 => all.first_chunk().into_iter().for_each(|d| fourteen(d, &mut found)),
        15 => all.first_chunk().into_iter().for_each(|d| fifteen(d, &mut found)),
        18 => found.hit_if(Kind::IdCn, true, is_chinese(bare.digits(), u32::from(all[17]))),
        _ => {}
    }
    found
}

#[inline]
fn eight(d: &[u8; 8], found: &mut Found) {
    static PRODUCTS: Products<8> = products([[2, 7, 6, 5, 4, 3, 2, 1]]);
    let sums = Sums::<1>::of(d, &PRODUCTS);
    found.hit_if(Kind::IdCl, false, (sums.rest(0) == 0) & (d[0] != 0));
}

#[inline]
fn nine(bare: &Bare, d: &[u8; 9], found: &mut Found) {
    static PRODUCTS: Products<9> =
        products([[3, 2, 7, 6, 5, 4, 3, 2, 1], [9, 8, 7, 6, 5, 4, 3, 2, 0], [1, 4, 3, 7, 5, 8, 6, 9, 10]]);
    let sums = Sums::<3>::of(d, &PRODUCTS);
    let check = u32::from(d[8]);
    found.hit_if(Kind::IdCl, false, (sums.rest(0) == 0) & (d[0] != 0));
    let rest = sums.rest(1);
    found.hit_if(Kind::IdNl, false, rest == check);
    let portuguese = is_one_of(u32::from(d[0]), const { set([1, 2, 3, 5, 6, 8, 9]) });
    found.hit_if(Kind::IdPt, false, portuguese & (last(to_eleven(rest)) == check));
    let luhn = bare.luhn();
    found.hit_if(Kind::IdCa, false, luhn & (d[0] != 0) & (d[0] != 8));
    found.hit_if(Kind::IdIl, false, luhn);
    found.hit_if(Kind::IdAu, false, sums.rest(2) == 0);
}

#[inline]
fn ten(bare: &Bare, d: &[u8; 10], found: &mut Found) {
    static PRODUCTS: Products<10> = products([
        [10, 1, 10, 1, 10, 1, 10, 1, 10, 1],
        [4, 3, 2, 7, 6, 5, 4, 3, 2, 1],
        [2, 4, 8, 5, 10, 9, 7, 3, 6, 0],
        [10, 9, 8, 7, 6, 5, 4, 3, 2, 0],
    ]);
    let sums = Sums::<4>::of(d, &PRODUCTS);
    let check = u32::from(d[9]);
    let date = Date::of([d[2], d[3]], [d[4], d[5]]);
    found.hit_if(Kind::IdCz, false, date.is(Way::Czech) & (sums.rest(0) == 0));
    found.hit_if(Kind::IdSe, false, date.is(Way::Swedish) & bare.luhn());
    found.hit_if(Kind::IdDk, false, Date::of([d[2], d[3]], [d[0], d[1]]).is(Way::Plain) & (sums.rest(1) == 0));
    found.hit_if(Kind::IdBg, false, date.is(Way::Bulgarian) & (last(sums.rest(2)) == check));
    found.hit_if(Kind::IdGb, false, to_eleven(sums.rest(3)) == check);
}

#[inline]
fn eleven(d: &[u8; 11], found: &mut Found) {
    const ARGENTINE: u128 = set([20, 23, 24, 25, 26, 27, 30, 33, 34]);
    static PRODUCTS: Products<11> = products([
        [10, 9, 8, 7, 6, 5, 4, 3, 2, 0, 0],
        // By 11, which adds nothing, to 2.
        [0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0],
        [3, 7, 6, 1, 8, 9, 4, 5, 2, 0, 0],
        [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 0],
        [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1],
        // Three times what is checked, modulo 10: 7 times the first, third and so on, less the second, fourth and so on and the tenth.
        [1, 7, 1, 7, 1, 7, 1, 7, 1, 7, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9],
    ]);
    let sums = Sums::<7>::of(d, &PRODUCTS);
    let (one, two) = (u32::from(d[9]), u32::from(d[10]));
    let brazilian = (last(to_eleven(sums.rest(0))) == one) & (last(to_eleven(sums.rest(1))) == two);
    found.hit_if(Kind::IdBr, false, brazilian);
    let second = to_eleven(sums.rest(3)) == two;
    let date = Date::of([d[2], d[3]], [d[0], d[1]]);
    let norwegian = date.is(Way::Norwegian) & (to_eleven(sums.rest(2)) == one) & second;
    found.hit_if(Kind::IdNo, true, norwegian);
    let date = Date::of([d[2], d[3]], [d[4], d[5]]);
    if date.is(Way::Plain) {
        let nine = value(d, 0, 9) % 97;
        let check = value(d, 9, 2);
        let young = (nine + 2_000_000_000 % 97) % 97;
        found.hit_if(Kind::IdBe, true, (check == 97 - nine) | (check == 97 - young));
    }
    found.hit_if(Kind::IdPl, false, date.is(Way::Polish) & sums.sum(4).is_multiple_of(10));
    if Date::of([d[3], d[4]], [d[5], d[6]]).is(Way::Plain) && (1..=8).contains(&d[0]) {
        static ESTONIAN: Products<11> =
            products([[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 0], [3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 0]]);
        let sums = Sums::<2>::of(d, &ESTONIAN);
        let first = sums.rest(0);
        found.hit_if(Kind::IdEe, false, two == if first < 10 { first } else { last(sums.rest(1)) });
    }
    let turkish = (d[0] != 0) & sums.sum(5).is_multiple_of(10) & sums.sum(6).is_multiple_of(10);
    found.hit_if(Kind::IdTr, false, turkish);
    if mod11_10_of_eleven(d) {
        found.hit_if(Kind::IdHr, false, true);
        found.hit_if(Kind::IdDe, false, d[0] != 0 && is_tax_number(d));
    }
    found.hit_if(Kind::IdAr, false, second & is_one_of(value(d, 0, 2), ARGENTINE));
}

#[inline]
fn twelve(d: &[u8; 12], found: &mut Found) {
    found.hit_if(Kind::IdIn, false, (d[0] >= 2) & verhoeff_of_twelve(d));
    let [_, _, born @ ..] = d;
    if matches!(value(d, 0, 2), 18..=20) && Date::of([d[4], d[5]], [d[6], d[7]]).is(Way::Plain) && luhn(born) {
        found.hit_if(Kind::IdSe, true, true);
    }
}

#[inline]
fn thirteen(bare: &Bare, d: &[u8; 13], found: &mut Found) {
    static PRODUCTS: Products<13> = products([
        [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1],
        [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 0],
        [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9, 0],
        [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0],
    ]);
    let sums = Sums::<4>::of(d, &PRODUCTS);
    let check = u32::from(d[12]);
    found.hit_if(Kind::IdCh, false, d.starts_with(&[7, 5, 6]) & sums.sum(0).is_multiple_of(10));
    let date = Date::of([d[2], d[3]], [d[4], d[5]]).is(Way::Plain);
    let korean = (1..=8).contains(&d[6]) & ((11 - sums.rest(1)) % 10 == check);
    found.hit_if(Kind::IdKr, false, date & korean);
    found.hit_if(Kind::IdZa, false, date & (d[10] <= 2) & matches!(d[11], 8 | 9) & bare.luhn());
    let born = Date::of([d[3], d[4]], [d[5], d[6]]).is(Way::Plain) & (d[0] != 0);
    let rest = sums.rest(2);
    let romanian = (value(d, 7, 2) <= 52) & (check == if rest == 10 { 1 } else { rest });
    found.hit_if(Kind::IdRo, false, born & romanian);
    found.hit_if(Kind::IdTh, false, (1..=8).contains(&d[0]) & ((11 - sums.rest(3)) % 10 == check));
}

#[inline]
fn fourteen(d: &[u8; 14], found: &mut Found) {
    static PRODUCTS: Products<14> =
        products([[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 0, 0], [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 0]]);
    let sums = Sums::<2>::of(d, &PRODUCTS);
    let check = |rest: u32| last(to_eleven(rest));
    let brazilian = (check(sums.rest(0)) == u32::from(d[12])) & (check(sums.rest(1)) == u32::from(d[13]));
    found.hit_if(Kind::IdBr, false, brazilian);
}

#[inline]
fn fifteen(d: &[u8; 15], found: &mut Found) {
    const MONTHS: u128 = ((1 << 13) - (1 << 1)) | ((1 << 43) - (1 << 20));
    // The powers of ten modulo 97.
    static PRODUCTS: Products<15> = products([[50, 5, 49, 34, 81, 76, 27, 90, 9, 30, 3, 10, 1, 0, 0]]);
    let rest = Sums::<1>::of(d, &PRODUCTS).sum(0) % 97;
    let month = is_one_of(value(d, 3, 2), MONTHS);
    let first = is_one_of(u32::from(d[0]), const { set([1, 2, 3, 4, 7, 8]) });
    found.hit_if(Kind::IdFr, true, first & month & (97 - rest == value(d, 13, 2)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national;
    use crate::number::{Gap, Group, Number};
    use proptest::prelude::*;

    /// What is found of digits in one piece as of those in groups.
    fn by_number(digits: &[u8]) -> Found {
        let groups = [Group { start: 0, end: digits.len(), gap: Gap::None, digits: digits.len() }];
        let text: Vec<u8> = digits.iter().map(|digit| digit + b'0').collect();
        national::digits(&Number { text: &text, groups: &groups, digits })
    }

    fn by_length(digits: &[u8]) -> Found {
        let text: Vec<u8> = digits.iter().map(|digit| digit + b'0').collect();
        super::digits(&Bare::of(&text).unwrap())
    }

    /// Two digits as dates of each way of writing have them.
    fn two() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{2}", "0[1-9]|1[0-2]", "[0-3][0-9]", "[2-8][0-9]", "(18|19|20|23|27|30|75)"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever the digits, and with all that their last two can be, so that each check digit fits somewhere.
        #[test]
        fn a_number_in_one_piece_is_the_same_by_its_length(
            parts in proptest::collection::vec(two(), 10),
            same in prop_oneof![6 => Just(None), 1 => (0..10_u8).prop_map(Some)],
            length in 7..=19_usize,
        ) {
            let mut digits: Vec<u8> = parts.concat().bytes().map(|byte| byte - b'0').collect();
            digits.truncate(length);
            if let Some(same) = same {
                digits.fill(same);
            }
            for last in 0..100 {
                let at = digits.len() - 2;
                (digits[at], digits[at + 1]) = (last / 10, last % 10);
                prop_assert_eq!(by_length(&digits), by_number(&digits), "{:?}", digits);
            }
        }
    }

    /// Every month and day of each country that has them, with one check digit or another.
    #[test]
    fn every_date_is_the_same_by_its_length() {
        for length in [10_usize, 11, 12, 13, 15] {
            for at in 0..5 {
                for two in 0..10_000_u32 {
                    let mut digits = vec![2, 0, 1, 9, 5, 6, 3, 1, 1, 7, 4, 8, 3, 9, 1];
                    digits.truncate(length);
                    for (place, digit) in format!("{two:04}").bytes().enumerate() {
                        digits[at + place] = digit - b'0';
                    }
                    digits[length - 1] = u8::try_from(two / 7 % 10).unwrap();
                    assert_eq!(by_length(&digits), by_number(&digits), "{digits:?}");
                }
            }
        }
    }

    /// Numbers of each length, with as many between them.
    #[test]
    fn numbers_in_order_are_the_same_by_their_length() {
        for length in 8..=18_u32 {
            let size = 10_u64.pow(length);
            let step = size / 20_000 + 1;
            for number in (0..size).step_by(usize::try_from(step).unwrap()) {
                let text = format!("{number:0width$}", width = usize::try_from(length).unwrap());
                let digits: Vec<u8> = text.bytes().map(|byte| byte - b'0').collect();
                assert_eq!(by_length(&digits), by_number(&digits), "{text}");
            }
        }
    }
}
