//! Other programs, run as a shell would and better: `cargo run --example subprocess_pipeline [-- COMMAND LINE]`.
//!
//! Without arguments: `ls -l | wc` in three ways that agree, a program that is fed and read at once, one
//! that takes too long, one that will not end, one that is not there; a task that counts meanwhile; and no
//! zombie at the end. With arguments: takes them apart as a shell would, runs the program and says how it
//! ended.

#[path = "words/say.rs"]
mod say;

use std::io::{self};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use greenloom::process::{Command, ExitStatus, Stdio, pipeline, split};
use greenloom::signal::Signal;
use greenloom::{sleep, spawn};

use say::line as say;

const HELP: &str = "usage: subprocess_pipeline [COMMAND LINE]
Runs the command line, or shows what can be done with programs when there is none.";

/// Where `ls` looks: a directory that does not change meanwhile.
const PLACE: &str = "/usr";

type Fault = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    say::end("subprocess_pipeline", work())
}

fn work() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("--help" | "-h") => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Some(option) if option.starts_with('-') => {
            eprintln!("subprocess_pipeline: what is `{option}`?\n{HELP}");
            return ExitCode::from(2);
        }
        _ => {}
    }
    let answer = greenloom::try_run(|| match words.is_empty() {
        true => show().map(|()| ExitCode::SUCCESS),
        false => run_line(&words.join(" ")),
    });
    match answer.map_err(Fault::from).and_then(|answer| answer) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("subprocess_pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A line of output; whoever has closed it does not want it.
/// Runs what the user typed.
fn run_line(line: &str) -> Result<ExitCode, Fault> {
    let words = match split(line) {
        Ok(words) if !words.is_empty() => words,
        Ok(_) => vec![String::new()],
        Err(error) => {
            eprintln!("subprocess_pipeline: {error}: {line}");
            return Ok(ExitCode::from(2));
        }
    };
    let status = Command::new(&words[0]).args(&words[1..]).status()?;
    say(format_args!("{}: {status}", words[0]));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn show() -> Result<(), Fault> {
    // Counts as long as nobody holds the worker.
    let (ticks, is_over) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (theirs, until) = (ticks.clone(), is_over.clone());
    let counter = spawn(move || {
        while !until.load(Ordering::Relaxed) {
            theirs.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(2));
        }
    });
    let mut ended = Vec::new();
    count_lines(&mut ended)?;
    talk(&mut ended)?;
    limit(&mut ended)?;
    refuse()?;
    is_over.store(true, Ordering::Relaxed);
    counter.join()?;
    say(format_args!(
        "another task counted to {} meanwhile",
        ticks.load(Ordering::Relaxed)
    ));
    check(ticks.load(Ordering::Relaxed) > 10, "the worker stood still")?;
    check_zombies(&ended)
}

fn check(holds: bool, fault: &str) -> Result<(), Fault> {
    match holds {
        true => Ok(()),
        false => Err(fault.into()),
    }
}

fn ls() -> Command {
    let mut ls = Command::new("ls");
    ls.arg("-l").current_dir(PLACE).env("LC_ALL", "C");
    ls
}

fn numbers(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `ls -l | wc` by a shell, by hand, and by a list.
fn count_lines(ended: &mut Vec<u32>) -> Result<(), Fault> {
    let shell = Command::new("sh")
        .args(["-c", "ls -l | wc"])
        .current_dir(PLACE)
        .env("LC_ALL", "C")
        .output()?;
    let shell = numbers(&shell.stdout);

    let mut first = ls().stdout(Stdio::piped()).spawn()?;
    let between = first.stdout.take().ok_or("there is a pipe")?;
    // Its end of the pipe goes to `wc`, and none stays here: so `ls` learns when `wc` is gone.
    let mut second = Command::new("wc")
        .stdin(between)
        .stdout(Stdio::piped())
        .spawn()?;
    let by_hand = numbers(&second.communicate("")?.stdout);
    check(first.wait()?.success(), "ls failed")?;
    ended.extend([first.id(), second.id()]);

    let mut listed = pipeline([&mut ls(), Command::new("wc").stdout(Stdio::piped())])?;
    let output = listed.communicate("")?;
    ended.extend(listed.children().iter().map(|child| child.id()));
    let by_list = numbers(&output.stdout);
    check(
        output.statuses.iter().all(ExitStatus::success),
        "ls or wc failed",
    )?;

    say(format_args!("ls -l | wc by a shell: {shell}"));
    say(format_args!("ls -l | wc by hand:    {by_hand}"));
    say(format_args!("ls -l | wc by a list:  {by_list}"));
    check(
        shell == by_hand && shell == by_list,
        "the numbers are not the same",
    )
}

/// Feeds a program and reads what it says, both more than a pipe holds.
fn talk(ended: &mut Vec<u32>) -> Result<(), Fault> {
    let mut sort = Command::new("sort");
    let mut sort = sort
        .args(["-n", "-r"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let input: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let output = sort.communicate(&input)?;
    ended.push(sort.id());
    let first = output.stdout.split(|&byte| byte == b'\n').next();
    let first = String::from_utf8_lossy(first.unwrap_or_default()).into_owned();
    say(format_args!(
        "sort read {} bytes and wrote {}, {first} first",
        input.len(),
        output.stdout.len()
    ));
    check(
        first == "199999" && output.stdout.len() == input.len(),
        "sort lost something",
    )
}

/// Programs that take too long: what was read is kept, and the last word is SIGKILL.
fn limit(ended: &mut Vec<u32>) -> Result<(), Fault> {
    let begun = Instant::now();
    let mut slow = Command::new("sh")
        .args(["-c", "echo so far; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()?;
    let limit = Duration::from_millis(300);
    let error = match slow.communicate_timeout("", limit) {
        Err(error) => error,
        Ok(_) => return Err("a sleep of a thousand seconds is over".into()),
    };
    check(error.kind() == io::ErrorKind::TimedOut, "another error")?;
    slow.send_signal(Signal::TERM)?;
    let output = slow.communicate("")?;
    ended.push(slow.id());
    say(format_args!(
        "too slow, and ended by {}: {:?} was read",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    ));
    check(output.stdout == b"so far\n", "output was lost")?;

    let mut stubborn = Command::new("sh")
        .args(["-c", "trap '' TERM; echo; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()?;
    // It says so when it has stopped to listen.
    let mut stdout = stubborn.stdout.take().ok_or("there is a pipe")?;
    io::Read::read_exact(&mut stdout, &mut [0])?;
    stubborn.send_signal(Signal::TERM)?;
    let answer = stubborn.wait_timeout(Duration::from_millis(100))?;
    check(answer.is_none(), "it does not ignore SIGTERM")?;
    stubborn.kill()?;
    let status = stubborn.wait()?;
    ended.push(stubborn.id());
    say(format_args!("it ignored SIGTERM, and ended by {status}"));
    check(
        begun.elapsed() < Duration::from_secs(60),
        "it took too long",
    )
}

fn refuse() -> Result<(), Fault> {
    match Command::new("no-such-program").spawn() {
        Err(error) => say(error),
        Ok(_) => return Err("a program that is not there was started".into()),
    }
    Ok(())
}

/// Whether each of them is gone, and not only dead. Where there is no /proc nobody can tell.
fn check_zombies(ended: &[u32]) -> Result<(), Fault> {
    if std::fs::read("/proc/self/stat").is_err() {
        say("no /proc here: zombies are not counted");
        return Ok(());
    }
    let own = format!(" {} ", std::process::id());
    let is_ours = |id: &&u32| {
        // The parent is the second field behind the name, which may hold anything.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.get(1..).is_some_and(|rest| rest.starts_with(&own))
    };
    let left = ended.iter().filter(is_ours).count();
    say(format_args!("{} programs, {left} zombies", ended.len()));
    check(left == 0, "zombies are left")
}
