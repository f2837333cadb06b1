//! How long answers took: counts by the logarithm of the time.

/// 64 steps for each power of two, so an error under two percent.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; 64 * 64],
            total: 0,
        }
    }

    pub fn add(&mut self, ns: u64) {
        let ns = ns.max(64);
        let power = ns.ilog2() as usize - 6;
        self.counts[power * 64 + ((ns >> power) as usize - 64)] += 1;
        self.total += 1;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The time in nanoseconds within which the share `q` of all lies.
    pub fn quantile(&self, q: f64) -> f64 {
        let wanted = (self.total as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                let (power, step) = (slot / 64, slot % 64);
                return ((64 + step) as f64 + 0.5) * (1_u64 << power) as f64;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_two_percent() {
        let mut times = Histogram::new();
        (1..=100_000).for_each(|n| times.add(n * 10));
        for q in [0.01, 0.5, 0.99] {
            let right = q * 1_000_000.0;
            assert!((times.quantile(q) / right - 1.0).abs() < 0.02, "at {q}");
        }
        assert_eq!(times.total(), 100_000);
    }
}
