//! `cargo bench --bench scheduler`: the library's figures beside the bars they are held against.
//!
//! ```text
//! cargo bench --bench scheduler -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]
//! ```
//!
//! Each case runs in a process of its own, held to one CPU: neither memory nor a crash of one reaches
//! another. A figure is the median of some repetitions after a warm-up, with the smallest and the
//! largest beside it. `--json` writes a line a figure.
#![allow(clippy::disallowed_methods)] // Clients and children here are plain threads.

mod cases;
mod util;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, io, thread};

use util::figure::Figure;
use util::{process, sample};

/// A case that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(300);

const USAGE: &str = "usage: cargo bench --bench scheduler -- \
    [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]";

#[derive(Default)]
struct Options {
    /// Cases whose name contains one of these; all when empty.
    only: Vec<String>,
    json: Option<String>,
    list: bool,
    reps: Option<usize>,
    /// This process measures one case for another.
    case: Option<String>,
    /// This process is the server of a case.
    serve: Option<String>,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            // Cargo passes it to every benchmark.
            "--bench" => {}
            "--list" => options.list = true,
            "--only" => options.only = value()?.split(',').map(String::from).collect(),
            "--json" => options.json = Some(value()?),
            "--reps" => match value()?.parse() {
                Ok(n) if n > 0 => options.reps = Some(n),
                _ => return Err("--reps wants a number above 0".into()),
            },
            "--case" => options.case = Some(value()?),
            "--serve" => options.serve = Some(value()?),
            other => return Err(format!("unknown option `{other}`")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options(env::args().skip(1)) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    sample::set_reps(options.reps.unwrap_or(sample::REPS));
    let done = if let Some(peer) = &options.serve {
        cases::echo::serve(peer)
    } else if let Some(name) = &options.case {
        measure_here(name)
    } else if options.list {
        cases::ALL.iter().for_each(|case| println!("{}", case.name));
        Ok(())
    } else {
        measure_all(&options)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// The child's part: figures go out on standard output.
fn measure_here(name: &str) -> io::Result<()> {
    let case = cases::ALL.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| io::Error::other(format!("no case `{name}`")))?;
    process::pin_to_one_cpu()?;
    thread::spawn(|| {
        thread::sleep(LIMIT);
        eprintln!("no result within {LIMIT:?}");
        std::process::exit(3);
    });
    for figure in (case.run)() {
        println!("{}", figure.encode());
    }
    // Not by returning: some cases leave a million tasks behind.
    std::process::exit(0);
}

fn measure_all(options: &Options) -> io::Result<()> {
    let asked =
        |name: &str| options.only.is_empty() || options.only.iter().any(|text| name.contains(text));
    let chosen: Vec<_> = cases::ALL.iter().filter(|case| asked(case.name)).collect();
    if chosen.is_empty() {
        return Err(io::Error::other("no such case; --list names them"));
    }
    let reps = sample::reps().to_string();
    let mut lines = String::new();
    let mut failed = 0;
    println!("{}", Figure::head());
    for case in chosen {
        let output = Command::new(env::current_exe()?)
            .args(["--case", case.name, "--reps", &reps])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            println!("{:<34} failed: {}", case.name, output.status);
            failed += 1;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        for figure in text.lines().filter_map(Figure::decode) {
            println!("{}", figure.row());
            lines.push_str(&figure.json());
            lines.push('\n');
        }
    }
    if let Some(file) = &options.json {
        fs::write(file, lines)?;
    }
    match failed {
        0 => Ok(()),
        n => Err(io::Error::other(format!("{n} case(s) failed"))),
    }
}
