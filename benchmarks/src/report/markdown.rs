//! The tables for README and documentation, and for the terminal.

use std::fmt::Write as _;

use super::rows::{Row, Rows, rows};
use crate::cases;
use crate::metric::thousands;
use crate::peers::list::Peer;
use crate::results::Results;

/// A column of a table: the best of one or several peers.
#[derive(Clone, Debug)]
pub struct Column {
    pub title: &'static str,
    pub peers: Vec<Peer>,
}

/// A column for each peer.
fn of_each() -> Vec<Column> {
    let of = |peer: Peer| Column {
        title: peer.title(),
        peers: vec![peer],
    };
    Peer::ALL.into_iter().map(of).collect()
}

/// All cases, all peers that have a figure.
pub fn full_table(results: &Results) -> String {
    let cases = cases::all().into_iter();
    let all: Vec<Rows> = cases.filter_map(|case| rows(results, case)).collect();
    table(&all, of_each(), name)
}

/// A line for each case, the best runtime in bold; columns that stay empty are left out.
pub fn table(all: &[Rows], mut columns: Vec<Column>, name: impl Fn(&Rows) -> String) -> String {
    // Rows are sorted from best to worst.
    let of = |rows: &Rows, column: &Column| {
        let is_of = |row: &&Row| column.peers.contains(&row.peer);
        rows.rows.iter().find(is_of).map(|row| row.first.median)
    };
    columns.retain(|column| all.iter().any(|rows| of(rows, column).is_some()));
    let mut text = String::from("| |");
    for column in &columns {
        let _ = write!(text, " {} |", column.title);
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(columns.len()));
    for rows in all {
        let _ = write!(text, "\n| {} |", name(rows));
        let best = rows.rows.iter().find(|row| !row.peer.is_floor());
        for column in &columns {
            let cell = of(rows, column).map_or(String::from("·"), |median| {
                let figure = rows.metric.format(median);
                match best.is_some_and(|best| column.peers.contains(&best.peer)) {
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
