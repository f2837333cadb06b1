//! Whether an idle worker should look out for letters a little while before it sleeps: learned from how that went.
//!
//! To wake a thread that sleeps in its poll costs microseconds, and on a virtual machine tens of them, on both sides;
//! a letter that is awaited costs a tenth of one. But a look-out is time on a processor, and nothing if no
//! letter comes. So each one that was in vain doubles the number of idle stretches until the next, and one that
//! was not makes the worker look out each time.

/// After so many in vain one after the other it does not become rarer: once in `1 << MOST` idle stretches.
const MOST: u32 = 7;

#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Look-outs in vain since the last that was not.
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

    pub(super) fn learn(&mut self, has_come: bool) {
        if has_come {
            *self = Patience::default();
        } else {
            self.in_vain = (self.in_vain + 1).min(MOST);
            self.to_skip = (1 << self.in_vain) - 1;
        }
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
    fn it_looks_out_each_time_while_letters_come_and_hardly_ever_when_none_does() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            assert!(patience.is_due());
            patience.learn(true);
        }
        // At 0, 2, 6, 14, 30, 62, 126 and 254.
        assert_eq!(looks(&mut patience, 255), 8);
        assert_eq!(looks(&mut patience, 1280), 10);
        while !patience.is_due() {}
        patience.learn(true);
        assert!(patience.is_due());
    }
}
