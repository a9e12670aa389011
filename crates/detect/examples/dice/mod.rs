//! A small generator of pseudo-random numbers (xorshift64), for examples that measure.

pub struct Dice(u64);

impl Dice {
    /// Always the same, so that rates can be compared.
    pub fn new() -> Self {
        Dice(0x2545_f491_4f6c_dd1d)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).unwrap_or(1);
        of.get(usize::try_from(self.roll(count)).unwrap_or(0))
    }

    /// So many characters of an alphabet of ASCII.
    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).filter_map(|_| self.pick(alphabet.as_bytes()).copied().map(char::from)).collect()
    }

    /// So many words, with blanks between them.
    pub fn words(&mut self, all: &[&str], count: u64) -> String {
        let picked: Vec<&str> = (0..count).filter_map(|_| self.pick(all).copied()).collect();
        picked.join(" ")
    }
}
