//! Digits of whole numbers, eight at once.

/// What is below ten to the eighth.
pub(crate) const EIGHT: u64 = 100_000_000;

/// The eight digits of a number below a hundred million, the first one lowest: halves, quarters and digits, all at once.
#[inline]
pub fn eight_digits(number: u64) -> u64 {
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}
