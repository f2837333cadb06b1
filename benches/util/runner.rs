//! The main function of a benchmark: its options, a process for each case, the table.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, io, thread};

use super::figure::Figure;
use super::{process, sample};

/// A case: what `--only` looks for, and what measures it, alone in a process.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Vec<Figure>,
    /// Held to one CPU.
    pub(crate) is_pinned: bool,
}

/// A case in a process held to one CPU.
pub(crate) const fn case(name: &'static str, run: fn() -> Vec<Figure>) -> Case {
    Case {
        name,
        run,
        is_pinned: true,
    }
}

/// A case whose process may use every CPU.
pub(crate) const fn wide_case(name: &'static str, run: fn() -> Vec<Figure>) -> Case {
    Case {
        name,
        run,
        is_pinned: false,
    }
}

/// A benchmark.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) cases: &'static [Case],
    /// What this program does as the server of a case.
    pub(crate) serve: fn(&str) -> io::Result<()>,
}

/// A case that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(300);

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

/// The whole program.
pub(crate) fn main(bench: &Bench) -> ExitCode {
    let options = match options(env::args().skip(1)) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}");
            eprintln!(
                "usage: cargo bench --bench {} -- [--only TEXT[,TEXT]] [--reps N] [--json FILE] [--list]",
                bench.name
            );
            return ExitCode::from(2);
        }
    };
    sample::set_reps(options.reps.unwrap_or(sample::REPS));
    let done = if let Some(peer) = &options.serve {
        (bench.serve)(peer)
    } else if let Some(name) = &options.case {
        measure_here(bench, name)
    } else if options.list {
        for case in bench.cases {
            println!("{}", case.name);
        }
        Ok(())
    } else {
        measure_all(bench, &options)
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
fn measure_here(bench: &Bench, name: &str) -> io::Result<()> {
    let case = bench.cases.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| io::Error::other(format!("no case `{name}`")))?;
    if case.is_pinned {
        process::pin_to_one_cpu()?;
    }
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

fn measure_all(bench: &Bench, options: &Options) -> io::Result<()> {
    let asked =
        |name: &str| options.only.is_empty() || options.only.iter().any(|text| name.contains(text));
    let chosen: Vec<_> = bench.cases.iter().filter(|case| asked(case.name)).collect();
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
