//! Run with `cargo run --example greenlet_switch`: prints 12, 56 and 34, and never 78.
//!
//! Two greenlets switch to each other by name. The first ends while the second is left in the middle,
//! so the second's last line never runs; then an error and an exit are thrown into others.

use std::cell::RefCell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use greenloom::coroutine::{Greenlet, GreenletExit, SwitchError, catch};

type Lines = Rc<RefCell<Vec<u32>>>;

fn say(lines: &Lines, n: u32) {
    if let Err(error) = writeln!(io::stdout(), "{n}") {
        eprintln!("greenlet_switch: cannot write: {error}");
        std::process::exit(1);
    }
    lines.borrow_mut().push(n);
}

/// `test1` and `test2` of every introduction to greenlets.
fn ping_pong(lines: &Lines) -> Result<(), SwitchError> {
    let (first_lines, second_lines) = (Rc::clone(lines), Rc::clone(lines));
    // The first one is told whom to switch to: neither can be made with a handle of the other.
    let first = Greenlet::new(move |second: Greenlet| -> Result<(), SwitchError> {
        say(&first_lines, 12);
        second.switch(Greenlet::current())?;
        say(&first_lines, 34);
        Ok(())
    });
    let second = Greenlet::new(move |first: Greenlet| -> Result<(), SwitchError> {
        say(&second_lines, 56);
        first.switch(())?;
        say(&second_lines, 78);
        Ok(())
    });
    first.switch(second)?.get::<Result<(), SwitchError>>()
}

/// An error that is handled where it was thrown to, and what the handler sends back.
fn thrown() -> Result<String, SwitchError> {
    let worker = Greenlet::new(
        |main: Greenlet| match catch::<&str, _>(|| main.switch(())) {
            Err(error) => format!("caught {error}"),
            Ok(_) => "nothing thrown".to_string(),
        },
    );
    worker.switch(Greenlet::current())?;
    Ok(worker.throw("an error")?.get())
}

/// An exit ends a greenlet and is a value to its parent, not an error.
fn exited() -> Result<bool, SwitchError> {
    let worker = Greenlet::new(|main: Greenlet| drop(main.switch(())));
    worker.switch(Greenlet::current())?;
    let exit = worker.throw(GreenletExit)?;
    Ok(exit.is::<GreenletExit>()
        && worker.is_dead()
        && worker.parent() == Some(Greenlet::current()))
}

fn check() -> Result<bool, SwitchError> {
    let lines = Lines::default();
    ping_pong(&lines)?;
    let as_claimed = *lines.borrow() == [12, 56, 34];
    Ok(as_claimed && thrown()? == "caught an error" && exited()?)
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            let written = writeln!(io::stdout(), "usage: greenlet_switch");
            return ExitCode::from(u8::from(written.is_err()));
        }
        Some(word) => {
            eprintln!("usage: greenlet_switch; what is `{word}`?");
            return ExitCode::from(2);
        }
    }
    match check() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("not as claimed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
