//! The command line that the programs in examples/ have in common.

use std::error::Error;
use std::fmt::Display;
use std::io::{Write, stdout};
use std::process::ExitCode;

/// What a program may go wrong with.
pub type Fault = Box<dyn Error + Send + Sync>;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Args {
    /// Clients at the same time.
    pub clients: usize,
    /// Serve at this address until a signal comes, instead of checking itself.
    pub listen: Option<String>,
    /// Be a client of the server at this address.
    pub connect: Option<String>,
}

/// Runs a program as the first task of a runtime: by default both sides of it, which check each other.
///
/// Ends with status 2 for a wrong command line, and 1 when `work` has failed.
pub fn main(
    name: &str,
    about: &str,
    modes: &[&str],
    work: impl FnOnce(Args) -> Result<(), Fault>,
) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let help = help(name, about, modes);
    if words.iter().any(|word| word == "--help" || word == "-h") {
        say(help);
        return ExitCode::SUCCESS;
    }
    let args = match parse(&words, modes) {
        Ok(args) => args,
        Err(fault) => {
            eprintln!("{name}: {fault}\n{help}");
            return ExitCode::from(2);
        }
    };
    let fault = match greenloom::try_run(|| work(args)) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(fault)) => fault.to_string(),
        Err(fault) => fault.to_string(),
    };
    eprintln!("{name}: {fault}");
    ExitCode::FAILURE
}

/// Prints a line; a reader that has gone is no fault.
pub fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// An error with `text` unless `is_right`.
///
/// # Errors
///
/// That one.
pub fn check(is_right: bool, text: impl Into<String>) -> Result<(), Fault> {
    match is_right {
        true => Ok(()),
        false => Err(text.into().into()),
    }
}

fn help(name: &str, about: &str, modes: &[&str]) -> String {
    let mut help = format!("usage: {name} [OPTION]\n\n{about}\n");
    for (option, text) in [
        ("--clients N", "clients at the same time (8)"),
        ("--listen ADDRESS", "serve there until Ctrl-C"),
        ("--connect ADDRESS", "be a client of the server there"),
    ] {
        if option == "--clients N" || modes.iter().any(|mode| option.starts_with(mode)) {
            help += &format!("\n  {option:<19} {text}");
        }
    }
    help + "\n  --help              show this"
}

fn parse(words: &[String], modes: &[&str]) -> Result<Args, String> {
    let mut args = Args {
        clients: 8,
        listen: None,
        connect: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--clients" => {
                let count = value()?.parse().ok();
                let count = count.filter(|n| (1..=1000).contains(n));
                args.clients = count.ok_or("--clients wants a number from 1 to 1000")?;
            }
            "--listen" if modes.contains(&"--listen") => args.listen = Some(value()?),
            "--connect" if modes.contains(&"--connect") => args.connect = Some(value()?),
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    Ok(args)
}
