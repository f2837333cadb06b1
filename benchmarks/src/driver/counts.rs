//! Instructions for an operation, by callgrind: exact where time is noise.
//!
//! The difference of two runs, of one round and of two, so that start and end cancel out.

use std::io;
use std::process::{Command, Stdio};

use super::launch::{LIMIT, Launcher, wait};
use crate::cases::Case;
use crate::peers::list::{Home, Peer};

/// Larger cases take minutes under valgrind.
const MOST: usize = 1_000;

/// Whether a count can be had and means something.
pub fn is_countable(case: &Case, peer: Peer) -> bool {
    let is_small = case.size <= MOST && case.workers == 1;
    // The kernel's part of a switch of threads is not seen.
    let is_seen = peer.home() == Home::Rust && peer != Peer::Threads;
    case.what.is_countable() && is_small && is_seen
}

pub fn is_there() -> bool {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// `None` when the peer does not do the case.
pub fn count(launcher: &Launcher, case: &Case, peer: Peer) -> io::Result<Option<f64>> {
    let (Some(one), Some(two)) = (run(launcher, case, peer, 1)?, run(launcher, case, peer, 2)?)
    else {
        return Ok(None);
    };
    let operations = two.1 - one.1;
    Ok((operations > 0.0).then(|| (two.0 - one.0) / operations))
}

/// Instructions and operations of so many rounds.
fn run(
    launcher: &Launcher,
    case: &Case,
    peer: Peer,
    rounds: u32,
) -> io::Result<Option<(f64, f64)>> {
    let program = std::env::current_exe()?;
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg("child")
        .args(Launcher::arguments(case, peer, launcher.span))
        .arg(rounds.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = wait(child, LIMIT)?;
    let number = |text: &[u8], head: &str| {
        let text = String::from_utf8_lossy(text).into_owned();
        let (_, rest) = text.split_once(head)?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    let instructions = number(&output.stderr, "Collected : ");
    let operations = number(&output.stdout, "operations ");
    Ok(instructions.zip(operations))
}
