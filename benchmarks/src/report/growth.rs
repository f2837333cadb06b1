//! The series of the growth plots: how a figure changes from size to size.

use crate::cases::{self, What};
use crate::metric::Metric;
use crate::peers::list::Peer;
use crate::results::{Figure, Results};

/// A plot: what grows, and what is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    pub name: &'static str,
    pub what: What,
    pub metric: Metric,
    pub title: &'static str,
    /// What is on the horizontal axis.
    pub grows: &'static str,
    /// Too small a size tells nothing.
    pub from: usize,
}

pub const ALL: [Growth; 8] = [
    Growth {
        name: "yield",
        what: What::Yield,
        metric: Metric::Time,
        title: "Time per yield",
        grows: "tasks",
        from: 2,
    },
    Growth {
        name: "skynet",
        what: What::Skynet,
        metric: Metric::Time,
        title: "Skynet: time per leaf",
        grows: "leaves",
        from: 1_000,
    },
    Growth {
        name: "memory",
        what: What::Sleepers,
        metric: Metric::Memory,
        title: "Memory per sleeping task",
        grows: "tasks asleep",
        from: 1_000,
    },
    Growth {
        name: "start",
        what: What::Sleepers,
        metric: Metric::Time,
        title: "Time to start a task on fresh memory",
        grows: "tasks asleep",
        from: 1_000,
    },
    Growth {
        name: "echo",
        what: What::Echo,
        metric: Metric::Rate,
        title: "Echo: requests per second",
        grows: "connections",
        from: 1,
    },
    Growth {
        name: "echo_cpu",
        what: What::Echo,
        metric: Metric::Cpu,
        title: "Echo: CPU time of the server per request",
        grows: "connections",
        from: 1,
    },
    Growth {
        name: "echo_p99",
        what: What::Echo,
        metric: Metric::P99,
        title: "Echo: 99 % of the answers within",
        grows: "connections",
        from: 1,
    },
    Growth {
        name: "http",
        what: What::Http,
        metric: Metric::Rate,
        title: "HTTP: requests per second",
        grows: "connections",
        from: 1,
    },
];

/// Of one peer, smallest size first.
#[derive(Debug)]
pub struct Series {
    pub peer: Peer,
    pub points: Vec<(usize, Figure)>,
}

impl Growth {
    /// On one worker. Peers with a single point have no line and are left out; empty when there is no
    /// growth to show.
    pub fn series(&self, results: &Results) -> Vec<Series> {
        let cases = cases::all();
        let cases: Vec<_> = cases
            .iter()
            .filter(|case| case.what == self.what && case.workers == 1 && case.size >= self.from)
            .collect();
        let of = |peer: Peer| Series {
            peer,
            points: cases
                .iter()
                .filter_map(|case| {
                    let figure = results.figure(&case.to_string(), peer.id(), self.metric)?;
                    Some((case.size, figure))
                })
                .collect(),
        };
        let series = Peer::ALL.into_iter().map(of);
        series.filter(|series| series.points.len() > 1).collect()
    }
}
