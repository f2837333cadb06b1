//! greenloom and its peers at the same work, in the same run: see README.md beside this crate.

// Everything here is a program: nobody outside reads these names.
#![allow(clippy::disallowed_methods)] // Peers and drivers are plain threads.

mod cases;
mod child;
mod driver;
mod metric;
mod options;
mod peers;
mod report;
mod results;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, io, process, thread};

use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use cases::{Case, What};
use child::measure::{Cannot, Task};
use driver::foreign::Foreign;
use driver::launch::{LIMIT, Launcher};
use driver::turns::{self, Plan};
use driver::{counts, machine};
use options::{Options, USAGE};
use peers::list::{Home, Peer};
use results::Results;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    // What this program is asked for by itself.
    let done = match words.as_slice() {
        ["child", rest @ ..] => be_child(rest),
        ["load", rest @ ..] => be_load(rest),
        ["send-back"] => {
            peers::bare::send_back();
            Ok(())
        }
        _ => match Options::parse(args) {
            Ok(options) if options.help => {
                println!("{USAGE}");
                Ok(())
            }
            Ok(options) => drive(&options),
            Err(fault) => {
                eprintln!("benchmarks: {fault}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("benchmarks: {e}");
            ExitCode::FAILURE
        }
    }
}

fn wrong(words: &[&str]) -> io::Error {
    io::Error::other(format!("not understood: {}", words.join(" ")))
}

/// `child PEER WHAT SIZE WORKERS SPAN_MS [ROUNDS]`
fn be_child(words: &[&str]) -> io::Result<()> {
    let [peer, what, size, workers, span, rounds @ ..] = words else {
        return Err(wrong(words));
    };
    let number = |word: &str| word.parse().map_err(|_| wrong(words));
    let task = Task {
        what: What::parse(what).ok_or_else(|| wrong(words))?,
        size: number(size)?,
        workers: number(workers)?,
        span: Duration::from_millis(number(span)? as u64),
        rounds: rounds.first().and_then(|word| word.parse().ok()),
    };
    let peer = Peer::parse(peer).ok_or_else(|| wrong(words))?;
    // A server ends by itself when nobody is left to end it.
    thread::spawn(|| {
        thread::sleep(LIMIT * 2);
        process::exit(3);
    });
    if let Err(Cannot(reason)) = peers::run::run(peer, &task) {
        println!("cannot {reason}");
    }
    // Not by returning: runtimes with threads of their own would only take time to end.
    process::exit(0);
}

/// `load WHAT SIZE PORT SPAN_MS PID`
fn be_load(words: &[&str]) -> io::Result<()> {
    let [what, size, port, span, pid] = words else {
        return Err(wrong(words));
    };
    let what = What::parse(what).ok_or_else(|| wrong(words))?;
    let number = |word: &str| word.parse::<u32>().map_err(|_| wrong(words));
    let span = Duration::from_millis(u64::from(number(span)?));
    let port = port.parse().map_err(|_| wrong(words))?;
    child::load::run(what, number(size)? as usize, port, span, number(pid)?)
}

fn drive(options: &Options) -> io::Result<()> {
    if options.list {
        list();
        return Ok(());
    }
    if let Some(path) = &options.report {
        let results = Results::load(path)?;
        return write_report(&results, path, options);
    }
    let path = path_of_results(options);
    let needs_go = Peer::ALL
        .into_iter()
        .any(|peer| peer.home() == Home::Go && asked(options, peer));
    let python = options.python.as_deref().unwrap_or("python3");
    let foreign = Foreign::find(python, needs_go);
    let span_ms = options
        .span_ms
        .unwrap_or(if options.is_quick { 40 } else { 200 });
    let launcher = Launcher::new(foreign, Duration::from_millis(span_ms));
    let mut results = prepare(options, &launcher)?;
    let plan = plan(options, &mut results, &launcher)?;
    raise_descriptor_limit();
    turns::take(&plan, &launcher, &mut results, |results| {
        results.save(&path)
    })?;
    if plan.is_stopped.load(Ordering::Relaxed) {
        eprintln!("stopped: the report holds what was measured until then");
    }
    write_report(&results, &path, options)
}

fn asked(options: &Options, peer: Peer) -> bool {
    options.peers.is_empty() || options.peers.contains(&peer)
}

fn list() {
    println!("cases (* in --quick too):");
    for case in cases::all() {
        let mark = if case.is_quick { "*" } else { " " };
        println!("  {mark} {case}");
    }
    println!("peers:");
    for peer in Peer::ALL {
        println!("    {:<16} {}", peer.id(), peer.title());
    }
}

fn path_of_results(options: &Options) -> PathBuf {
    let quick = if options.is_quick { "-quick" } else { "" };
    let named = options.append.clone().or_else(|| options.to.clone());
    named.unwrap_or_else(|| {
        machine::results_folder().join(format!("{}{quick}.json", machine::today()))
    })
}

/// Empty results, or those that are added to.
fn prepare(options: &Options, launcher: &Launcher) -> io::Result<Results> {
    let here = machine::this_machine(launcher.cpus());
    let Some(path) = options.append.as_ref().filter(|path| path.exists()) else {
        return Ok(Results::new(machine::today(), here));
    };
    let results = Results::load(path)?;
    match results.machine == here {
        true => Ok(results),
        false => Err(io::Error::other(format!(
            "{} is of another machine or compiler: {:?}",
            path.display(),
            results.machine
        ))),
    }
}

/// The pairs that are asked for, of the peers that are here.
fn plan(options: &Options, results: &mut Results, launcher: &Launcher) -> io::Result<Plan> {
    let mut here = Vec::new();
    for peer in Peer::ALL.into_iter().filter(|&peer| asked(options, peer)) {
        let id = peer.id().to_owned();
        match launcher.foreign.version(peer) {
            Ok(version) => {
                let before = results.versions.insert(id.clone(), version.clone());
                if before.is_some_and(|before| before != version) {
                    eprintln!("{id}: the file holds samples of another version too");
                }
                results.missing.remove(&id);
                here.push(peer);
            }
            Err(reason) => {
                eprintln!("{id} is left out: {reason}");
                results.missing.insert(id, reason);
            }
        }
    }
    let cases = cases::all();
    let cases = cases
        .iter()
        .filter(|case| case.is_quick || !options.is_quick);
    let mut pairs: Vec<(Case, Peer)> = Vec::new();
    for case in cases {
        let name = case.to_string();
        let fit = here
            .iter()
            .filter(|peer| peer.takes_part(case) && options.has(&name, **peer));
        pairs.extend(fit.map(|&peer| (*case, peer)));
    }
    if pairs.is_empty() {
        return Err(io::Error::other("nothing fits; --list names what there is"));
    }
    let with_counts = options.with_counts && counts::is_there();
    if options.with_counts && !with_counts {
        eprintln!("no instruction counts: there is no valgrind here");
    }
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the program at once.
        flag::register_conditional_shutdown(signal, 130, is_stopped.clone())?;
        flag::register(signal, is_stopped.clone())?;
    }
    Ok(Plan {
        pairs,
        repetitions: options
            .repetitions
            .unwrap_or(if options.is_quick { 2 } else { 5 }),
        patience: options
            .patience
            .unwrap_or(if options.is_quick { 0 } else { 3 }),
        with_counts,
        is_stopped,
    })
}

/// For ten thousand connections; processes inherit it.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of open files stays where it is: {e}");
    }
}

fn write_report(results: &Results, path: &Path, options: &Options) -> io::Result<()> {
    let page = report::write(results, path)?;
    println!("{}", report::summary(results));
    println!("{}\n{}", path.display(), page.display());
    if options.publish {
        report::publish(results)?;
    }
    Ok(())
}
