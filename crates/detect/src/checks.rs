//! Check digits. Every function takes digits as numbers from 0 to 9.

/// Luhn (ISO/IEC 7812): every second digit from the right is doubled.
#[inline]
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            match (at % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// The remainder of a decimal number of any length.
#[inline]
pub(crate) fn remainder(digits: &[u8], modulus: u32) -> u32 {
    // As many digits at once as a word holds.
    digits.chunks(9).fold(0, |rest, part| {
        let (power, value) =
            part.iter().fold((1_u64, 0_u64), |(power, value), digit| (power * 10, value * 10 + u64::from(*digit)));
        let rest = (u64::from(rest) * power + value) % u64::from(modulus);
        u32::try_from(rest).unwrap_or(0)
    })
}

/// The sum of products with weights, as far as both go.
#[inline]
pub(crate) fn weighted(digits: &[u8], weights: &[u8]) -> u32 {
    digits.iter().zip(weights).map(|(d, w)| u32::from(*d) * u32::from(*w)).sum()
}

/// ISO 7064 MOD 97-10 over digits and letters (A is 10), as IBAN uses it: the whole leaves 1.
pub(crate) fn mod97(characters: impl Iterator<Item = u8>) -> bool {
    let mut rest: u32 = 0;
    let mut any = false;
    for c in characters {
        any = true;
        rest = match c {
            b'0'..=b'9' => rest * 10 + u32::from(c - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(c - b'A') + 10,
            b'a'..=b'z' => rest * 100 + u32::from(c - b'a') + 10,
            _ => return false,
        } % 97;
    }
    any && rest == 1
}

/// For each product so far of ISO 7064 MOD 11,10 and each digit: the next.
static MOD11_10: [[u8; 10]; 11] = {
    let mut table = [[0; 10]; 11];
    let mut product: u8 = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while product < 11 {
        let mut digit: u8 = 0;
        while digit < 10 {
            let sum = (digit + product) % 10;
            table[product as usize][digit as usize] = (if sum == 0 { 10 } else { sum }) * 2 % 11;
            digit += 1;
        }
        product += 1;
    }
    table
};

/// ISO 7064 MOD 11,10: Steuer-ID and OIB.
#[inline]
pub(crate) fn mod11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10, |product: u8, digit| {
        let next = MOD11_10.get(usize::from(product)).and_then(|next| next.get(usize::from(*digit)));
        next.copied().unwrap_or(0)
    });
    (11 - product) % 10 == *check
}

/// The same for two digits: for each product so far and each number of two digits, the next product.
static MOD11_10_TWO: [[u8; 16]; 128] = {
    let mut table = [[0; 16]; 128];
    let mut two = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while two < 100 {
        let mut product = 0;
        while product < 11 {
            table[two][product] = MOD11_10[MOD11_10[product][two / 10] as usize][two % 10];
            product += 1;
        }
        two += 1;
    }
    table
};

/// [`mod11_10`] of eleven digits, two at a time.
#[inline]
pub(crate) fn mod11_10_of_eleven(digits: &[u8; 11]) -> bool {
    let [body @ .., check] = digits;
    let product = body.as_chunks::<2>().0.iter().fold(10_u8, |product, [tens, units]| {
        let next = MOD11_10_TWO.get(usize::from((tens * 10 + units) & 127));
        next.and_then(|next| next.get(usize::from(product & 15))).copied().unwrap_or(0)
    });
    // A product is from 1 to 10.
    (if product == 1 { 0 } else { 11 - product }) == *check
}

/// The multiplication of the dihedral group D5.
const fn d5(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// For each place from the right, modulo 8, and each digit there: what becomes of each check so far.
static VERHOEFF: [[[u8; 10]; 10]; 8] = {
    const STEP: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut table = [[[0; 10]; 10]; 8];
    let mut permuted: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let mut place = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while place < 8 {
        let mut digit = 0;
        while digit < 10 {
            let mut check: u8 = 0;
            while check < 10 {
                table[place][digit][check as usize] = d5(check, permuted[digit]);
                check += 1;
            }
            permuted[digit] = STEP[permuted[digit] as usize];
            digit += 1;
        }
        place += 1;
    }
    table
};

/// Verhoeff: Aadhaar.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    let places = digits.iter().rev().zip(VERHOEFF.iter().cycle());
    let check = places.fold(0_u8, |check, (digit, place)| {
        let step = place.get(usize::from(*digit)).and_then(|step| step.get(usize::from(check)));
        step.copied().unwrap_or(0)
    });
    !digits.is_empty() && check == 0
}

/// The same for two digits, of which the right one is at each even place: what they make of the check 0.
static VERHOEFF_TWO: [[u8; 128]; 4] = {
    let mut table = [[0; 128]; 4];
    let mut place = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while place < 4 {
        let mut two = 0;
        while two < 100 {
            let units = VERHOEFF[place * 2][two % 10][0];
            table[place][two] = VERHOEFF[place * 2 + 1][two / 10][units as usize];
            two += 1;
        }
        place += 1;
    }
    table
};

/// The multiplication of D5 as a table.
static D5: [[u8; 16]; 16] = {
    let mut table = [[0; 16]; 16];
    let mut both: u8 = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while both < 100 {
        let (a, b) = (both / 10, both % 10);
        table[a as usize][b as usize] = d5(a, b);
        both += 1;
    }
    table
};

/// [`verhoeff`] of twelve digits, two at a time.
#[inline]
pub(crate) fn verhoeff_of_twelve(digits: &[u8; 12]) -> bool {
    let (twos, _) = digits.as_chunks::<2>();
    let steps = twos.iter().rev().zip(VERHOEFF_TWO.iter().cycle());
    let check = steps.fold(0_u8, |check, ([tens, units], place)| {
        let step = place.get(usize::from((tens * 10 + units) & 127)).copied().unwrap_or(0);
        let row = D5.get(usize::from(check & 15));
        row.and_then(|row| row.get(usize::from(step & 15))).copied().unwrap_or(0)
    });
    check == 0
}

/// Whether day and month can be: the day may be the 29th of February in any year.
#[inline]
pub(crate) const fn is_day(month: u32, day: u32) -> bool {
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 29,
        _ => return false,
    };
    1 <= day && day <= days
}

/// The decimal number that the digits from `at` on make, `count` of them.
#[inline]
pub(crate) fn number(digits: &[u8], at: usize, count: usize) -> u32 {
    let digits = digits.get(at..).unwrap_or_default().iter().take(count);
    if count < 10 {
        return digits.fold(0, |sum, d| sum * 10 + u32::from(*d));
    }
    digits.fold(0_u32, |sum, d| sum.saturating_mul(10).saturating_add(u32::from(*d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect()
    }

    #[test]
    fn published_examples() {
        assert!(luhn(&digits("79927398713")) && !luhn(&digits("79927398710")));
        assert!(mod97("3214282912345698765432161182".bytes()) && !mod97("".bytes()));
        assert!(verhoeff(&digits("2363")) && !verhoeff(&digits("2364")));
        assert!(mod11_10(&digits("86095742719")) && !mod11_10(&digits("86095742718")));
        assert_eq!(remainder(&digits("100"), 97), 3);
    }

    #[test]
    fn two_digits_at_a_time_are_as_good_as_one() {
        let mut number = 1_u64;
        for _ in 0..100_000 {
            number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let text = format!("{:012}", (number >> 20) % 1_000_000_000_000);
            let twelve = digits(&text);
            let (Some(all), Some(eleven)) = (twelve.first_chunk(), twelve.first_chunk()) else { panic!("{text}") };
            assert_eq!(verhoeff_of_twelve(all), verhoeff(all), "{text}");
            assert_eq!(mod11_10_of_eleven(eleven), mod11_10(eleven), "{text}");
        }
    }

    #[test]
    fn verhoeff_finds_every_changed_digit_and_every_swap() {
        let good = digits("84736430954837284567892");
        let check = (0..10).map(|c| [&good[..], &[c]].concat()).find(|all| verhoeff(all)).unwrap();
        for at in 0..check.len() {
            for other in 0..10 {
                let mut changed = check.clone();
                changed[at] = other;
                assert_eq!(verhoeff(&changed), other == check[at]);
            }
            if at > 0 && check[at] != check[at - 1] {
                let mut swapped = check.clone();
                swapped.swap(at, at - 1);
                assert!(!verhoeff(&swapped));
            }
        }
    }
}
