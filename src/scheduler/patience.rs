//! Whether an idle worker should look out a little while before it sleeps: learned from how that went.
//!
//! To wake a thread that sleeps in its poll costs microseconds, and on a virtual machine tens of them, on both sides;
//! what is awaited costs a tenth of one. But a look-out is time on a processor, and nothing if nothing
//! comes. So each one that was in vain doubles the number of idle stretches until the next, and each that was not
//! halves it: where less than every other one pays, hardly any are made.

/// How often that is doubled at most: the worker then looks out once in `1 << MOST` idle stretches.
const MOST: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Patience {
    /// By how many those in vain have been more than the others lately.
    in_vain: u32,
    /// Idle stretches to sleep through before the next one.
    to_skip: u32,
}

impl Patience {
    /// An idle stretch begins: whether to look out in it. If so, [`learn`](Self::learn) is told how it went.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_due
    }

    pub(super) fn learn(&mut self, has_paid: bool) {
        self.in_vain = match has_paid {
            true => self.in_vain.saturating_sub(1),
            false => (self.in_vain + 1).min(MOST),
        };
        self.to_skip = (1 << self.in_vain) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many idle stretches are looked out in, all in vain.
    fn looks(patience: &mut Patience, stretches: u32) -> u32 {
        (0..stretches)
            .filter(|_| {
                let is_due = patience.is_due();
                if is_due {
                    patience.learn(false);
                }
                is_due
            })
            .count() as u32
    }

    #[test]
    fn it_hardly_ever_looks_out_where_that_seldom_pays() {
        let mut patience = Patience::default();
        let mut looks = 0;
        for _ in 0..100_000 {
            if patience.is_due() {
                looks += 1;
                patience.learn(looks % 3 == 0);
            }
        }
        assert!(looks < 200, "{looks} of 100,000");
    }

    #[test]
    fn it_looks_out_each_time_while_letters_come_and_hardly_ever_when_none_does() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            assert!(patience.is_due());
            patience.learn(true);
        }
        // At 0, 2, 6, 14, 30, 62, 126, 254, 510, 1022 and 2046.
        assert_eq!(looks(&mut patience, 2047), 11);
        assert_eq!(looks(&mut patience, 10 << MOST), 10);
        // And the way back.
        let mut stretches = 0;
        for _ in 0..MOST {
            while !patience.is_due() {
                stretches += 1;
            }
            patience.learn(true);
        }
        assert!(patience.is_due());
        assert!(
            stretches < 2 << MOST,
            "{stretches} idle stretches slept through"
        );
    }
}
