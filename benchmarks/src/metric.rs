//! What a figure says, and how it is written for people.

use serde::{Deserialize, Serialize};

/// What was measured of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Nanoseconds for an operation.
    Time,
    /// Bytes for a task or a connection.
    Memory,
    /// Requests a second.
    Rate,
    /// Nanoseconds within which half of the answers came.
    P50,
    /// Nanoseconds within which 99 of 100 answers came.
    P99,
    /// Nanoseconds of CPU that the server took for a request.
    Cpu,
    /// Instructions for an operation, under callgrind.
    Instructions,
}

impl Metric {
    pub const ALL: [Metric; 7] = [
        Metric::Time,
        Metric::Memory,
        Metric::Rate,
        Metric::P50,
        Metric::P99,
        Metric::Cpu,
        Metric::Instructions,
    ];

    /// The word that a measuring process says it by.
    pub fn word(self) -> &'static str {
        match self {
            Metric::Time => "time",
            Metric::Memory => "memory",
            Metric::Rate => "rate",
            Metric::P50 => "p50",
            Metric::P99 => "p99",
            Metric::Cpu => "cpu",
            Metric::Instructions => "instructions",
        }
    }

    pub fn parse(word: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.word() == word)
    }

    /// Of an operation called `per`.
    pub fn title(self, per: &str) -> String {
        match self {
            Metric::Time => format!("time per {per}"),
            Metric::Memory => format!("memory per {per}"),
            Metric::Rate => format!("{per}s per second"),
            Metric::P50 => "half of the answers within".into(),
            Metric::P99 => "99 % of the answers within".into(),
            Metric::Cpu => format!("CPU time of the server per {per}"),
            Metric::Instructions => format!("instructions per {per}"),
        }
    }

    pub fn more_is_better(self) -> bool {
        self == Metric::Rate
    }

    /// With its unit.
    pub fn format(self, value: f64) -> String {
        let (value, unit) = self.scaled(value);
        format!("{} {unit}", number(value)).trim_end().into()
    }

    /// Without its unit when it stands on an axis.
    fn scaled(self, value: f64) -> (f64, &'static str) {
        let steps: &[(f64, &str)] = match self {
            Metric::Memory => &[(1.0, "B"), (1024.0, "KiB"), (1048576.0, "MiB")],
            Metric::Rate => &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")],
            Metric::Instructions => &[(1.0, ""), (1e3, "k"), (1e6, "M")],
            _ => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
        };
        // A task of 4,136 bytes is better told in bytes than as 4.04 KiB.
        let reach = if self == Metric::Memory { 10.0 } else { 1.0 };
        let fits = |&&(step, _): &&(f64, &str)| value.abs() >= step * reach;
        let &(step, unit) = steps.iter().rev().find(fits).unwrap_or(&steps[0]);
        (value / step, unit)
    }
}

/// Three digits where the value has them.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => thousands(value.round() as i64),
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// With a comma before every three digits.
pub fn thousands(n: i64) -> String {
    let digits = n.abs().to_string();
    let mut text = String::from(if n < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!(Metric::Time.format(4.2), "4.20 ns");
        assert_eq!(Metric::Time.format(99.96), "100 ns");
        assert_eq!(Metric::Time.format(23_456_000.0), "23.5 ms");
        assert_eq!(Metric::Memory.format(4136.0), "4,136 B");
        assert_eq!(Metric::Rate.format(216_400.0), "216 k/s");
        assert_eq!(Metric::Instructions.format(175.9), "176");
        assert_eq!(thousands(-1234567), "-1,234,567");
    }
}
