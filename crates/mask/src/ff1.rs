//! FF1, the format-preserving cipher of NIST SP 800-38G: a keyed permutation of the numbers below `radix^length`.
//!
//! Here a numeral string is the number that it writes, and the halves of the Feistel network fit in 64 bits, which is
//! enough for every domain that masks use and lets a step be plain arithmetic. Domains below 10^6 are refused, as the
//! standard's revision asks: a small one can be tabulated. The block cipher is the library's; nothing else is secret here.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptingKey, UnboundCipherKey};

/// The smallest domain that is permuted.
pub(crate) const DOMAIN_MIN: u128 = 1_000_000;
const ROUNDS: u8 = 10;

/// The key of one permutation family.
pub(crate) struct Ff1 {
    aes: EncryptingKey,
}

/// The numbers that are written with `length` numerals of base `radix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    radix: u32,
    length: u32,
    /// `radix^⌊length/2⌋`, the left half's size.
    left: u128,
    /// `radix^⌈length/2⌉`, the right half's size.
    right: u128,
}

impl Domain {
    /// The domain, unless it is smaller than [`DOMAIN_MIN`] or its halves exceed 64 bits.
    pub(crate) fn new(radix: u32, length: u32) -> Option<Self> {
        let left = u128::from(radix).checked_pow(length / 2)?;
        let right = u128::from(radix).checked_pow(length.div_ceil(2))?;
        let fits = (2..=1 << 16).contains(&radix) && right <= 1 << 64;
        let large = left.checked_mul(right).is_none_or(|size| size >= DOMAIN_MIN);
        (fits && large).then_some(Domain { radix, length, left, right })
    }

    /// The bytes that a half is written in.
    fn half_bytes(&self) -> Option<usize> {
        usize::try_from((128 - (self.right - 1).leading_zeros()).div_ceil(8)).ok()
    }

    /// The size of the half that a round changes.
    fn modulus(&self, round: u8) -> u128 {
        if round.is_multiple_of(2) { self.left } else { self.right }
    }

    fn split(&self, number: u128) -> Option<(u128, u128)> {
        let left = number / self.right;
        (left < self.left).then_some((left, number % self.right))
    }
}

impl Ff1 {
    /// From a key of AES with 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        let aes = UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ecb).ok()?;
        Some(Ff1 { aes })
    }

    /// The permutation's value at `number`; `None` outside the domain.
    pub(crate) fn encrypt(&self, domain: &Domain, tweak: &[u8], number: u128) -> Option<u128> {
        let (mut a, mut b) = domain.split(number)?;
        let head = self.head(domain, tweak)?;
        for round in 0..ROUNDS {
            let y = self.step(domain, head, tweak, round, b)?;
            let modulus = domain.modulus(round);
            let c = (a + y % modulus) % modulus;
            a = b;
            b = c;
        }
        a.checked_mul(domain.right)?.checked_add(b)
    }

    /// The number whose permutation is `number`; `None` outside the domain.
    pub(crate) fn decrypt(&self, domain: &Domain, tweak: &[u8], number: u128) -> Option<u128> {
        let (mut a, mut b) = domain.split(number)?;
        let head = self.head(domain, tweak)?;
        for round in (0..ROUNDS).rev() {
            let y = self.step(domain, head, tweak, round, a)?;
            let modulus = domain.modulus(round);
            let c = (b + modulus - y % modulus) % modulus;
            b = a;
            a = c;
        }
        a.checked_mul(domain.right)?.checked_add(b)
    }

    /// The state of the CBC-MAC after the block P, which every round begins with (algorithm 7, step 5).
    fn head(&self, domain: &Domain, tweak: &[u8]) -> Option<[u8; 16]> {
        let [_, radix @ ..] = domain.radix.to_be_bytes();
        let [.., half] = (domain.length / 2).to_be_bytes();
        let mut block = [0; 16];
        let parts: [&[u8]; 5] = [
            &[1, 2, 1],
            &radix,
            &[10, half],
            &domain.length.to_be_bytes(),
            &u32::try_from(tweak.len()).ok()?.to_be_bytes(),
        ];
        for (to, from) in block.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        self.block(&mut block)?;
        Some(block)
    }

    /// The number y of one round (steps 6.i to 6.iv).
    fn step(&self, domain: &Domain, head: [u8; 16], tweak: &[u8], round: u8, half: u128) -> Option<u128> {
        let bytes = domain.half_bytes()?;
        let padding = (16 - (tweak.len() + bytes + 1) % 16) % 16;
        let number = half.to_be_bytes();
        let number = number.get(16 - bytes..)?;
        let mut state = head;
        let mut at = 0;
        let text = tweak.iter().copied().chain(std::iter::repeat_n(0, padding)).chain([round]);
        for byte in text.chain(number.iter().copied()) {
            if let Some(place) = state.get_mut(at) {
                *place ^= byte;
            }
            at += 1;
            if at == 16 {
                self.block(&mut state)?;
                at = 0;
            }
        }
        // d is at most 12 for halves of 64 bits, so that one block is enough.
        let wanted = 4 * bytes.div_ceil(4) + 4;
        Some(u128::from_be_bytes(state) >> (128 - 8 * u32::try_from(wanted).ok()?))
    }

    fn block(&self, block: &mut [u8; 16]) -> Option<()> {
        self.aes.encrypt(block).ok().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    fn number(text: &str, radix: u32) -> u128 {
        text.chars().fold(0, |number, c| number * u128::from(radix) + u128::from(c.to_digit(radix).unwrap()))
    }

    /// NIST, "FF1 samples" (Cryptographic Standards and Guidelines, examples with intermediate values).
    #[test]
    fn samples_of_nist() {
        const K128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
        const K192: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f";
        const K256: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94";
        const TEN: &str = "39383736353433323130";
        const ELEVEN: &str = "3737373770717273373737";
        for (key, radix, tweak, plain, cipher) in [
            (K128, 10, "", "0123456789", "2433477484"),
            (K128, 10, TEN, "0123456789", "6124200773"),
            (K128, 36, ELEVEN, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
            (K192, 10, "", "0123456789", "2830668132"),
            (K192, 10, TEN, "0123456789", "2496655549"),
            (K192, 36, ELEVEN, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
            (K256, 10, "", "0123456789", "6657667009"),
            (K256, 10, TEN, "0123456789", "1001623463"),
            (K256, 36, ELEVEN, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
        ] {
            let ff1 = Ff1::new(&unhex(key)).unwrap();
            let domain = Domain::new(radix, u32::try_from(plain.len()).unwrap()).unwrap();
            let (plain, cipher, tweak) = (number(plain, radix), number(cipher, radix), unhex(tweak));
            assert_eq!(ff1.encrypt(&domain, &tweak, plain), Some(cipher));
            assert_eq!(ff1.decrypt(&domain, &tweak, cipher), Some(plain));
        }
    }

    #[test]
    fn small_domains_and_numbers_outside_are_refused() {
        for (radix, length) in [(10, 5), (2, 19), (1, 40), (10, 39), (2, 129), (0, 0)] {
            assert_eq!(Domain::new(radix, length), None, "{radix}^{length}");
        }
        let ff1 = Ff1::new(&[7; 32]).unwrap();
        let domain = Domain::new(10, 6).unwrap();
        assert_eq!(ff1.encrypt(&domain, &[], 1_000_000), None);
        assert_eq!(ff1.decrypt(&domain, &[], u128::MAX), None);
        assert!(Ff1::new(&[7; 5]).is_none());
    }

    proptest! {
        #[test]
        fn a_permutation(radix in 2_u32..40, length in 1_u32..130, number: u128, key: [u8; 32], tweak: [u8; 3]) {
            let Some(domain) = Domain::new(radix, length) else { return Ok(()) };
            let number = domain.left.checked_mul(domain.right).map_or(number, |size| number % size);
            let ff1 = Ff1::new(&key).unwrap();
            let shown = ff1.encrypt(&domain, &tweak, number).unwrap();
            prop_assert_eq!(ff1.decrypt(&domain, &tweak, shown), Some(number));
        }
    }
}
