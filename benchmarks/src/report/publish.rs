//! Puts tables and plots where the library's readers find them: README.md, docs/performance.md.

use std::path::Path;
use std::{fs, io};

use super::markdown::{Column, circumstances, full_table, table};
use super::rows::{Rows, rows};
use super::{costs, growth, plot};
use crate::cases::Case;
use crate::peers::list::Peer;
use crate::results::Results;

/// What README shows, and in which words; the page of performance shows all.
const IN_README: [(&str, &str); 15] = [
    ("yield, 2 tasks", "yield_2"),
    ("yield, 100,000 tasks", "yield_100000"),
    ("spawn and join a task", "spawn_join"),
    ("skynet, a million leaves: each leaf", "skynet_1000000"),
    ("round trip by two channels", "ping_pong"),
    ("ring of 503: each pass", "ring"),
    ("channel, 4 producers, 2 workers: each item", "mpsc_4_2w"),
    ("mutex, 100 tasks: each lock", "mutex_contended"),
    ("select over 4 channels", "select"),
    ("a million sleepers: memory of each", "sleepers_1000000"),
    ("echo, 64 connections: CPU per request", "echo_one_cpu_64"),
    ("echo, 64 connections", "echo_64"),
    ("HTTP, 64 connections: CPU per request", "http_one_cpu_64"),
    ("call in another process", "apply"),
    (
        "computing tasks piled up on one of 2 workers",
        "unbalanced_64_2w",
    ),
];

/// Those that most readers know; the two runtimes of tokio as one, the better of them.
fn columns() -> Vec<Column> {
    let of = |title, peers: &[Peer]| Column {
        title,
        peers: peers.to_vec(),
    };
    vec![
        of("greenloom", &[Peer::Greenloom]),
        of("tokio", &[Peer::TokioCurrent, Peer::TokioMulti]),
        of("may", &[Peer::May]),
        of("smol", &[Peer::Smol]),
        of("OS threads", &[Peer::Threads]),
        of("Go", &[Peer::Go]),
        of(
            "Python",
            &[Peer::Gevent, Peer::Asyncio, Peer::Multiprocessing],
        ),
    ]
}

fn short_table(results: &Results) -> String {
    let shown: Vec<_> = IN_README
        .iter()
        .filter_map(|(words, case)| Some((*words, rows(results, Case::find(case)?)?)))
        .collect();
    let name = |rows: &Rows| {
        let words = shown.iter().find(|(_, other)| other.case == rows.case);
        words.map_or(String::new(), |(words, _)| (*words).into())
    };
    let all: Vec<_> = shown.iter().map(|(_, rows)| rows.clone()).collect();
    table(&all, columns(), name)
}

pub fn publish(results: &Results) -> io::Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = circumstances(results);
    let short = format!("{}\n{said}\n", short_table(results));
    replace(&top.join("README.md"), "begin", "end", &short)?;
    let long = format!("{}\n{said}\n", full_table(results));
    let page = top.join("docs/performance.md");
    replace(&page, "begin", "end", &long)?;
    replace(&page, "costs", "end of costs", &costs::table(results))?;
    let folder = top.join("docs/performance");
    fs::create_dir_all(&folder)?;
    for growth in &growth::ALL {
        if let Some(text) = plot::standalone(growth, &growth.series(results)) {
            fs::write(folder.join(format!("{}.svg", growth.name)), text)?;
        }
    }
    Ok(())
}

/// Between the two marks of a file.
fn replace(path: &Path, begin: &str, end: &str, new: &str) -> io::Result<()> {
    let begin = format!("<!-- benchmarks: {begin} -->\n");
    let end = format!("<!-- benchmarks: {end} -->");
    let text = fs::read_to_string(path)?;
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = parts else {
        let fault = format!("{} has no marks for the table", path.display());
        return Err(io::Error::other(fault));
    };
    fs::write(path, format!("{before}{begin}{new}{end}{after}"))
}
