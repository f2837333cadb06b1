//! A measured figure: as a row of the table, as a line of JSON, and on its way between processes.

use super::sample::median;

/// One figure with the spread of its samples and the bar it is held against.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// `<case>/<peer>`.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) unit: String,
    /// At most this; `None` for a figure that is only shown.
    pub(crate) bar: Option<f64>,
}

impl Figure {
    pub(crate) fn new(
        name: &str,
        unit: &str,
        samples: &[f64],
        bar: impl Into<Option<f64>>,
    ) -> Self {
        Figure {
            name: name.into(),
            value: median(samples),
            min: samples.iter().copied().fold(f64::INFINITY, f64::min),
            max: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            unit: unit.into(),
            bar: bar.into(),
        }
    }

    pub(crate) fn json(&self) -> String {
        let Figure {
            name, value, unit, ..
        } = self;
        format!("{{\"name\":\"{name}\",\"value\":{value:.3},\"unit\":\"{unit}\"}}")
    }

    pub(crate) fn head() -> String {
        let head = format!(
            "{:<34} {:>10}  {:<23} {:<11} {:>8}",
            "case/peer", "median", "min .. max", "unit", "bar"
        );
        format!("{head}\n{}", "-".repeat(head.len() + 9))
    }

    pub(crate) fn row(&self) -> String {
        let spread = format!("{} .. {}", number(self.min), number(self.max));
        let (bar, verdict) = match self.bar {
            Some(bar) if self.value <= bar => (number(bar), "met"),
            Some(bar) => (number(bar), "MISSED"),
            None => (String::new(), ""),
        };
        let Figure { name, unit, .. } = self;
        let value = number(self.value);
        format!("{name:<34} {value:>10}  {spread:<23} {unit:<11} {bar:>8} {verdict}")
    }

    /// For the pipe from a case's process.
    pub(crate) fn encode(&self) -> String {
        let Figure {
            name,
            value,
            min,
            max,
            unit,
            bar,
        } = self;
        let bar = bar.map_or(String::from("-"), |bar| bar.to_string());
        format!("figure\t{name}\t{value}\t{min}\t{max}\t{unit}\t{bar}")
    }

    pub(crate) fn decode(line: &str) -> Option<Figure> {
        let mut fields = line.strip_prefix("figure\t")?.split('\t');
        Some(Figure {
            name: fields.next()?.into(),
            value: fields.next()?.parse().ok()?,
            min: fields.next()?.parse().ok()?,
            max: fields.next()?.parse().ok()?,
            unit: fields.next()?.into(),
            bar: fields.next()?.parse().ok(),
        })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
