//! The rows of one case: figures sorted from best to worst, and those who cannot.

use crate::cases::Case;
use crate::metric::Metric;
use crate::peers::list::Peer;
use crate::results::{Figure, Results};

/// One peer's figures, the first metric first.
#[derive(Debug)]
pub struct Row {
    pub peer: Peer,
    pub first: Figure,
    pub rest: Vec<(Metric, Option<Figure>)>,
}

/// A case as the report shows it.
#[derive(Debug)]
pub struct Rows {
    pub case: Case,
    pub metric: Metric,
    pub rows: Vec<Row>,
    pub cannot: Vec<(Peer, String)>,
}

/// `None` when nobody has a figure.
pub fn rows(results: &Results, case: Case) -> Option<Rows> {
    let name = case.to_string();
    let (&metric, others) = case.what.metrics().split_first()?;
    let mut rows = Vec::new();
    let mut cannot = Vec::new();
    for peer in Peer::ALL {
        if let Some(first) = results.figure(&name, peer.id(), metric) {
            let shown = others.iter().chain([&Metric::Instructions]);
            let rest = shown.map(|&other| (other, results.figure(&name, peer.id(), other)));
            rows.push(Row {
                peer,
                first,
                rest: rest.collect(),
            });
        } else if let Some(reason) = results
            .outcome(&name, peer.id())
            .and_then(|o| o.cannot.clone())
        {
            cannot.push((peer, reason));
        }
    }
    rows.sort_by(|a, b| {
        let order = a.first.median.total_cmp(&b.first.median);
        if metric.more_is_better() {
            order.reverse()
        } else {
            order
        }
    });
    // A metric that nobody has is no column.
    for column in (0..=others.len()).rev() {
        if rows.iter().all(|row| row.rest[column].1.is_none()) {
            for row in &mut rows {
                row.rest.remove(column);
            }
        }
    }
    (!rows.is_empty()).then_some(Rows {
        case,
        metric,
        rows,
        cannot,
    })
}

impl Rows {
    /// How many times as good as greenloom a figure is; below 1 where it is worse.
    pub fn against_greenloom(&self, figure: &Figure) -> Option<f64> {
        let ours = self.rows.iter().find(|row| row.peer == Peer::Greenloom)?;
        let ratio = ours.first.median / figure.median;
        Some(if self.metric.more_is_better() {
            1.0 / ratio
        } else {
            ratio
        })
    }

    /// Greenloom's figure and the best of the other runtimes, which are those that schedule tasks:
    /// bare coroutines and bare system calls are floors, not rivals.
    pub fn duel(&self) -> Option<(&Row, &Row)> {
        let ours = self.rows.iter().find(|row| row.peer == Peer::Greenloom)?;
        let best = self
            .rows
            .iter()
            .find(|row| row.peer != Peer::Greenloom && !row.peer.is_floor())?;
        Some((ours, best))
    }
}
