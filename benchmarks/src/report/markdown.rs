//! The tables for README and documentation, and for the terminal.

use std::fmt::Write as _;

use super::rows::{Rows, rows};
use crate::cases;
use crate::metric::thousands;
use crate::peers::list::Peer;
use crate::results::Results;

/// A line for each case, a column for each peer that has a figure in any of them.
///
/// `None` for all cases.
pub fn table(results: &Results, only: Option<&[&str]>) -> String {
    let all: Vec<Rows> = cases::all()
        .into_iter()
        .filter(|case| only.is_none_or(|only| only.contains(&case.to_string().as_str())))
        .filter_map(|case| rows(results, case))
        .collect();
    let has = |peer: &Peer| {
        all.iter()
            .any(|rows| rows.rows.iter().any(|row| row.peer == *peer))
    };
    let peers: Vec<Peer> = Peer::ALL.into_iter().filter(has).collect();
    let mut text = String::from("| |");
    for peer in &peers {
        let _ = write!(text, " {} |", peer.title());
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(peers.len()));
    for rows in &all {
        let _ = write!(text, "\n| {} |", name(rows));
        let best = rows.rows.iter().find(|row| !row.peer.is_floor());
        for peer in &peers {
            let row = rows.rows.iter().find(|row| row.peer == *peer);
            let cell = row.map_or(String::from("·"), |row| {
                let figure = rows.metric.format(row.first.median);
                match best.is_some_and(|best| best.peer == *peer) {
                    true => format!("**{figure}**"),
                    false => figure,
                }
            });
            let _ = write!(text, " {cell} |");
        }
    }
    text.push('\n');
    text
}

/// A case and what is measured of it, in words.
fn name(rows: &Rows) -> String {
    let case = &rows.case;
    let size = match case.size {
        0 => String::new(),
        n => format!(" {}", thousands(n as i64)),
    };
    let workers = if case.workers > 1 { ", 2 workers" } else { "" };
    let words = case.what.word().replace('_', " ");
    let per = rows.metric.title(case.what.per());
    format!("{words}{size}{workers}: {per}")
}

/// The machine and the versions, in one sentence each.
pub fn circumstances(results: &Results) -> String {
    let machine = &results.machine;
    format!(
        "Measured on {}: {} CPUs of an {}, {} GiB, {}, rustc {}. Versions: {}.",
        results.date,
        machine.cpus,
        machine.cpu,
        machine.memory_gib,
        machine.kernel,
        machine.rustc,
        versions(results)
    )
}

/// Of all peers that took part; what runs on the same interpreter is named once.
pub fn versions(results: &Results) -> String {
    let mut named: Vec<String> = Vec::new();
    let mut python = None;
    for peer in Peer::ALL {
        let Some(version) = results.versions.get(peer.id()) else {
            continue;
        };
        let name = peer.krate().unwrap_or(peer.title());
        let text = match version.split_once(" on ") {
            Some((version, interpreter)) => {
                python = Some(interpreter.to_owned());
                format!("{name} {version}")
            }
            None if version.starts_with("Python ") => {
                python = Some(version.clone());
                continue;
            }
            None => format!("{name} {version}"),
        };
        // tokio has two rows.
        if !version.is_empty() && !named.contains(&text) {
            named.push(text);
        }
    }
    named.extend(python);
    named.join(", ")
}
