//! Puts tables and plots where the library's readers find them: README.md, docs/performance.md.

use std::path::Path;
use std::{fs, io};

use super::markdown::{circumstances, table};
use super::{growth, plot};
use crate::results::Results;

/// What README shows; the page of performance shows all.
const README_CASES: [&str; 14] = [
    "yield_2",
    "yield_100000",
    "spawn_join",
    "skynet_1000000",
    "ping_pong",
    "ring",
    "mpsc_4_2w",
    "mutex_contended",
    "select",
    "sleepers_1000000",
    "generator",
    "echo_one_cpu_64",
    "http_one_cpu_64",
    "unbalanced_64_2w",
];

pub fn publish(results: &Results) -> io::Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = circumstances(results);
    let short = format!("{}\n{said}\n", table(results, Some(&README_CASES)));
    replace(&top.join("README.md"), &short)?;
    let long = format!("{}\n{said}\n", table(results, None));
    replace(&top.join("docs/performance.md"), &long)?;
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
fn replace(path: &Path, new: &str) -> io::Result<()> {
    const BEGIN: &str = "<!-- benchmarks: begin -->\n";
    const END: &str = "<!-- benchmarks: end -->";
    let text = fs::read_to_string(path)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        let fault = format!("{} has no marks for the table", path.display());
        return Err(io::Error::other(fault));
    };
    fs::write(path, format!("{before}{BEGIN}{new}{END}{after}"))
}
