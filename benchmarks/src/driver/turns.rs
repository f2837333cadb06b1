//! The plan of a run: peers take turns within a repetition, so that a drift of the machine hits all alike.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::counts;
use super::launch::{Launcher, Outcome};
use crate::cases::Case;
use crate::metric::Metric;
use crate::peers::list::Peer;
use crate::results::{Results, Sample};

/// A sample during which others took more than this share of the CPUs is taken again.
const DISTURBED: f64 = 0.10;

/// What shall be measured.
#[derive(Debug)]
pub struct Plan {
    pub pairs: Vec<(Case, Peer)>,
    pub repetitions: usize,
    /// How often a disturbed sample is taken again.
    pub patience: usize,
    pub with_counts: bool,
    /// Set by Ctrl-C.
    pub is_stopped: Arc<AtomicBool>,
}

/// Measures all, or until it is stopped; `save` is called after each repetition.
pub fn take(
    plan: &Plan,
    launcher: &Launcher,
    results: &mut Results,
    save: impl Fn(&Results) -> io::Result<()>,
) -> io::Result<()> {
    let bar = ProgressBar::new((plan.pairs.len() * plan.repetitions) as u64);
    let style = "{elapsed_precise} [{bar:30}] {pos}/{len} {wide_msg} {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template"));
    // It would keep a CPU busy otherwise.
    let is_hidden = bar.is_hidden();
    let is_stopped = || plan.is_stopped.load(Ordering::Relaxed);
    // Asked once in a run, not in each repetition.
    let mut unable: Vec<(Case, Peer)> = Vec::new();
    for repetition in 0..plan.repetitions {
        if is_stopped() {
            break;
        }
        if is_hidden {
            eprintln!("repetition {} of {}", repetition + 1, plan.repetitions);
        }
        for (case, peer) in order(&plan.pairs, repetition) {
            if is_stopped() {
                break;
            }
            bar.set_message(format!("{case}/{}", peer.id()));
            if !unable.contains(&(case, peer)) && !one(plan, launcher, results, &case, peer) {
                unable.push((case, peer));
            }
            bar.inc(1);
        }
        save(results)?;
    }
    bar.finish_and_clear();
    if plan.with_counts && !is_stopped() {
        count_all(plan, launcher, results)?;
        save(results)?;
    }
    Ok(())
}

/// Case by case; within a case another peer goes first in each repetition.
fn order(pairs: &[(Case, Peer)], repetition: usize) -> Vec<(Case, Peer)> {
    let mut all = Vec::with_capacity(pairs.len());
    for of_one_case in pairs.chunk_by(|a, b| a.0 == b.0) {
        let mut turn = of_one_case.to_vec();
        turn.rotate_left(repetition % of_one_case.len());
        all.extend(turn);
    }
    all
}

/// One sample; `false` when the peer cannot.
fn one(plan: &Plan, launcher: &Launcher, results: &mut Results, case: &Case, peer: Peer) -> bool {
    let name = case.to_string();
    let mut best: Option<(Vec<(Metric, f64)>, f64)> = None;
    for _ in 0..=plan.patience {
        let outcome = launcher.measure(case, peer);
        if plan.is_stopped.load(Ordering::Relaxed) {
            // The same Ctrl-C may have ended the process.
            break;
        }
        let (figures, others) = match outcome {
            Ok(Outcome::Figures { figures, others }) => (figures, others),
            Ok(Outcome::Cannot(reason)) => {
                results.add_cannot(&name, peer.id(), reason);
                return false;
            }
            Err(e) => {
                results.add_cannot(&name, peer.id(), e.to_string());
                return false;
            }
        };
        // Chosen by the disturbance, never by the result.
        if best.as_ref().is_none_or(|(_, least)| others < *least) {
            best = Some((figures, others));
        }
        if others <= DISTURBED {
            break;
        }
    }
    if let Some((figures, others)) = best {
        for (metric, value) in figures {
            results.add(&name, peer.id(), metric, Sample { value, others });
        }
    }
    true
}

fn count_all(plan: &Plan, launcher: &Launcher, results: &mut Results) -> io::Result<()> {
    let is_countable = |&&(case, peer): &&(Case, Peer)| counts::is_countable(&case, peer);
    let pairs: Vec<_> = plan.pairs.iter().filter(is_countable).collect();
    let bar = ProgressBar::new(pairs.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} callgrind: {msg}")
            .expect("a template"),
    );
    for (case, peer) in pairs {
        if plan.is_stopped.load(Ordering::Relaxed) {
            break;
        }
        bar.set_message(format!("{case}/{}", peer.id()));
        // What fails under valgrind has no count, and its times stand.
        if let Ok(Some(value)) = counts::count(launcher, case, *peer) {
            let sample = Sample { value, others: 0.0 };
            results.replace(&case.to_string(), peer.id(), Metric::Instructions, sample);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn everybody_goes_first_once() {
        let case = cases::all()[0];
        let pairs: Vec<_> = Peer::ALL[..3].iter().map(|&peer| (case, peer)).collect();
        let firsts: Vec<_> = (0..3).map(|n| order(&pairs, n)[0].1).collect();
        assert_eq!(firsts, Peer::ALL[..3]);
        assert_eq!(order(&pairs, 1).len(), 3);
    }
}
