//! The floor: the system calls that the work needs, without any library above mio.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::bare_net;
use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot};

/// As many bytes as a small message of the pipes has, with its frame.
const MESSAGE: usize = 24;

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    match task.what {
        what if what.is_served() && task.workers > 1 => cannot("it has one thread"),
        what if what.is_served() => bare_net::serve(what).map_err(|e| Cannot(e.to_string())),
        What::Pipe => socket_pair(task),
        _ => cannot("no runtime"),
    }
}

/// A round trip of a few bytes between two processes.
fn socket_pair(task: &Task) -> Result<(), Cannot> {
    const TRIPS: usize = 2_000;
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let mut other = Command::new(std::env::current_exe().expect("this program"))
        .arg("send-back")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let mut bytes = [7; MESSAGE];
    task.rounds(|| {
        Round::timed(TRIPS, || {
            for _ in 0..TRIPS {
                ours.write_all(&bytes).expect("a reader");
                ours.read_exact(&mut bytes).expect("an answer");
            }
        })
    });
    drop(ours);
    let _ = other.wait();
    Ok(())
}

/// The other process: its standard input is the other end.
pub fn send_back() {
    use std::os::fd::AsFd;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let mut stream = UnixStream::from(stdin.expect("a descriptor"));
    let mut bytes = [0; MESSAGE];
    while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
}
