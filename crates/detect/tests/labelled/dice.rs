//! A small generator of pseudo-random numbers (splitmix64), and texts made from patterns.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }

    /// `#` is a digit, `N` one from 2 to 9, `h` a hexadecimal digit, `?` a small letter, `!` a capital; all else is itself.
    pub fn pattern(&mut self, pattern: &str) -> String {
        pattern
            .chars()
            .map(|c| match c {
                '#' => b"0123456789"[self.roll(10)] as char,
                'N' => b"23456789"[self.roll(8)] as char,
                'h' => b"0123456789abcdef"[self.roll(16)] as char,
                '?' => b"abcdefghijklmnopqrstuvwxyz"[self.roll(26)] as char,
                '!' => b"ABCDEFGHJKLMNPRSTUVWXYZ"[self.roll(23)] as char,
                other => other,
            })
            .collect()
    }
}
