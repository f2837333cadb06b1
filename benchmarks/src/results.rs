//! What a run leaves behind: a file that can be added to, and read again for another report.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// Changes with the meaning of the file.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    pub format: u32,
    /// Of the first measurement, in UTC.
    pub date: String,
    pub machine: Machine,
    /// By the peer's id.
    pub versions: BTreeMap<String, String>,
    /// Peers that could not take part at all, and why.
    pub missing: BTreeMap<String, String>,
    pub outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cpus: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub rustc: String,
}

/// Of one case and one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub case: String,
    pub peer: String,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<Metric, Vec<Sample>>,
}

/// Of one process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub value: f64,
    /// Share of the CPUs that others took meanwhile.
    pub others: f64,
}

/// Of several samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
    /// Of all samples on the average.
    pub others: f64,
}

impl Results {
    pub fn new(date: String, machine: Machine) -> Results {
        Results {
            format: FORMAT,
            date,
            machine,
            versions: BTreeMap::new(),
            missing: BTreeMap::new(),
            outcomes: Vec::new(),
        }
    }

    pub fn load(path: &Path) -> io::Result<Results> {
        let results: Results = serde_json::from_str(&fs::read_to_string(path)?)?;
        match results.format {
            FORMAT => Ok(results),
            other => Err(io::Error::other(format!("format {other}, not {FORMAT}"))),
        }
    }

    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }

    pub fn outcome(&self, case: &str, peer: &str) -> Option<&Outcome> {
        let fits = |outcome: &&Outcome| outcome.case == case && outcome.peer == peer;
        self.outcomes.iter().find(fits)
    }

    pub fn figure(&self, case: &str, peer: &str, metric: Metric) -> Option<Figure> {
        Figure::of(self.outcome(case, peer)?.samples.get(&metric)?)
    }

    pub fn add(&mut self, case: &str, peer: &str, metric: Metric, sample: Sample) {
        let outcome = self.outcome_mut(case, peer);
        outcome.cannot = None;
        outcome.samples.entry(metric).or_default().push(sample);
    }

    /// In the place of all earlier ones: for what does not vary.
    pub fn replace(&mut self, case: &str, peer: &str, metric: Metric, sample: Sample) {
        let samples = &mut self.outcome_mut(case, peer).samples;
        samples.insert(metric, vec![sample]);
    }

    /// Unless it could before: then one failure takes nothing away.
    pub fn add_cannot(&mut self, case: &str, peer: &str, reason: String) {
        let outcome = self.outcome_mut(case, peer);
        if outcome.samples.is_empty() {
            outcome.cannot = Some(reason);
        }
    }

    fn outcome_mut(&mut self, case: &str, peer: &str) -> &mut Outcome {
        let place = self
            .outcomes
            .iter()
            .position(|outcome| outcome.case == case && outcome.peer == peer);
        let place = place.unwrap_or_else(|| {
            self.outcomes.push(Outcome {
                case: case.into(),
                peer: peer.into(),
                cannot: None,
                samples: BTreeMap::new(),
            });
            self.outcomes.len() - 1
        });
        &mut self.outcomes[place]
    }
}

impl Figure {
    /// `None` of no samples.
    pub fn of(samples: &[Sample]) -> Option<Figure> {
        let mut values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[upper],
            _ => (values[upper - 1] + values[upper]) / 2.0,
        };
        Some(Figure {
            median,
            min,
            max,
            count: values.len(),
            others: samples.iter().map(|sample| sample.others).sum::<f64>() / samples.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Sample {
        Sample { value, others: 0.1 }
    }

    #[test]
    fn a_figure_is_the_median_with_its_spread() {
        let figure = Figure::of(&[sample(3.0), sample(9.0), sample(1.0)]).expect("three");
        assert_eq!((figure.median, figure.min, figure.max), (3.0, 1.0, 9.0));
        let figure = Figure::of(&[sample(3.0), sample(1.0)]).expect("two");
        assert_eq!(figure.median, 2.0);
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn what_could_once_is_not_taken_back_by_a_failure() {
        let machine = Machine {
            cpu: String::new(),
            cpus: 2,
            memory_gib: 1,
            kernel: String::new(),
            rustc: String::new(),
        };
        let mut results = Results::new(String::new(), machine);
        results.add_cannot("yield_2", "may", "not built".into());
        results.add("yield_2", "may", Metric::Time, sample(2.0));
        results.add_cannot("yield_2", "may", "no time".into());
        let outcome = results.outcome("yield_2", "may").expect("it was added");
        assert_eq!(outcome.cannot, None);
        let figure = results.figure("yield_2", "may", Metric::Time);
        assert_eq!(figure.expect("one sample").median, 2.0);
    }
}
