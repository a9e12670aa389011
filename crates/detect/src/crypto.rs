//! Addresses of cryptocurrencies: base58check, bech32 and bech32m, Ethereum's hexadecimal form.

use aws_lc_rs::digest::{SHA256, digest};

/// Whether a word is an address.
pub(crate) fn is_address(token: &[u8]) -> bool {
    match token {
        [b'1' | b'3' | b'm' | b'n' | b'2', ..] if (25..=35).contains(&token.len()) => base58check(token),
        [b'b', b'c', b'1', ..] | [b't', b'b', b'1', ..] if (14..=90).contains(&token.len()) => bech32(token),
        [b'B', b'C', b'1', ..] if (14..=90).contains(&token.len()) => bech32(&token.to_ascii_lowercase()),
        [b'0', b'x', hex @ ..] => {
            hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit) && hex.iter().any(|b| *b != b'0')
        }
        _ => false,
    }
}

/// 25 bytes of which the last four are the hash of the others.
fn base58check(token: &[u8]) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0_u8; 25];
    for character in token {
        let Some(value) = ALPHABET.iter().position(|a| a == character).and_then(|v| u32::try_from(v).ok()) else {
            return false;
        };
        let mut carry = value;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xff).unwrap_or(0);
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    let Some((body, check)) = bytes.split_last_chunk::<4>() else { return false };
    let twice = digest(&SHA256, digest(&SHA256, body).as_ref());
    twice.as_ref().starts_with(check)
}

/// The checksum of BIP 173, or of BIP 350.
fn bech32(token: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const STEPS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some(separator) = token.iter().rposition(|b| *b == b'1') else { return false };
    let (Some(prefix), Some(data)) = (token.get(..separator), token.get(separator + 1..)) else { return false };
    let mut check: u32 = 1;
    let mut step = |value: u32| {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (bit, generator) in STEPS.iter().enumerate() {
            if top >> bit & 1 == 1 {
                check ^= generator;
            }
        }
    };
    prefix.iter().for_each(|b| step(u32::from(*b >> 5)));
    step(0);
    prefix.iter().for_each(|b| step(u32::from(*b & 31)));
    for character in data {
        match ALPHABET.iter().position(|a| a == character).and_then(|v| u32::try_from(v).ok()) {
            Some(value) => step(value),
            None => return false,
        }
    }
    check == 1 || check == 0x2bc8_30a3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        for token in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            "0x52908400098527886E0F7030069857D2E4169EE7",
        ] {
            assert!(is_address(token.as_bytes()), "{token}");
        }
        for token in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "0x52908400098527886E0F7030069857D2E4169E",
        ] {
            assert!(!is_address(token.as_bytes()), "{token}");
        }
    }
}
