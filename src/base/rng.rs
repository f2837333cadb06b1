//! Small random numbers for fair choices: a seeded xorshift, good for nothing secret.

use std::cell::Cell;

/// A source of numbers that depend on its seed alone.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        // Never 0, from which there is no way on.
        Rng(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    /// Sixty-four random bits (Marsaglia's shifts, Vigna's multiplier).
    #[inline]
    pub(crate) fn draw(&self) -> u64 {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
