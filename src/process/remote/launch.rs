//! Starting a child that runs functions, and speaking to it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::unblock;
use crate::io::Limit;
use crate::ipc::link::{Frame, Incoming, Outgoing, Wire};
use crate::ipc::parcel::{LONGEST, Parcel};
use crate::runtime::Outside;
use crate::signal::Signal;
use crate::sys::child::{MARK, own_program};
use crate::sys::image::image;

use super::entry;
use super::kid::Kid;
use super::protocol::{self, Hello, Reply, Start};
use super::registry;

/// A child that has not said hello by then is another program, or cannot run.
const SILENCE: Duration = Duration::from_secs(10);

/// What a child is to be.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) name: Arc<str>,
    pub(super) is_daemon: bool,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
}

/// A child and the way to speak to it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) kid: Arc<Kid>,
    wire: Wire,
    incoming: Incoming,
}

impl Launch {
    /// Starts the child and waits for its hello.
    ///
    /// # Errors
    /// What the system says; `Unsupported` where functions cannot be run in other processes; `TimedOut` when
    /// the child stays silent.
    #[track_caller]
    pub(super) fn start(self) -> io::Result<Worker> {
        let Launch {
            name,
            is_daemon,
            stdout,
            stderr,
        } = self;
        // A virtual clock stands still meanwhile: the limit for the hello is one of real time.
        let _outside = Outside::here();
        let (wire, theirs) = Wire::pair()?;
        let mut command = Command::new(own_program()?);
        command
            .arg0(title(&name))
            .env(
                MARK.to_string_lossy().as_ref(),
                entry::next_depth()?.to_string(),
            )
            .stdin(Stdio::from(theirs))
            .stdout(stdout)
            .stderr(stderr);
        // A copy of the program's memory map may take a while, and so may reading it from disk.
        let child = unblock(move || Spawned::new(command))?;
        let kid = Kid::adopt(child.into_inner(), registry::leave)?;
        registry::enter(&kid, name.clone(), is_daemon)?;
        let mut worker = Worker {
            kid,
            wire,
            incoming: Incoming::new(LONGEST),
        };
        let greeted = worker.greet(&name, is_daemon);
        if greeted.is_err() {
            let _ = worker.kid.signal(Signal::KILL);
        }
        greeted.map(|()| worker)
    }
}

/// Whether children can be started from here at all.
///
/// # Errors
/// As for `Launch::start`.
pub(super) fn check() -> io::Result<()> {
    own_program()?;
    entry::next_depth().map(drop)
}

/// A child that is killed if nobody comes for it: whoever asked for it may have been cancelled.
struct Spawned(Option<Child>);

impl Spawned {
    fn new(mut command: Command) -> io::Result<Spawned> {
        command.spawn().map(|child| Spawned(Some(child)))
    }

    fn into_inner(mut self) -> Child {
        self.0.take().expect("it is there until it is taken")
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the list of processes shows.
fn title(name: &str) -> OsString {
    let mut title = std::env::args_os().next().unwrap_or_default();
    title.push(format!(" [{name}]"));
    title
}

impl Worker {
    #[track_caller]
    fn greet(&mut self, name: &str, is_watched: bool) -> io::Result<()> {
        let fingerprint = image()?.fingerprint;
        let hello = match self.incoming.recv(&self.wire, Limit::Within(SILENCE)) {
            Ok(Some(Frame {
                kind: protocol::HELLO,
                parcel,
                ..
            })) => parcel.unpack::<Hello>().map_err(io::Error::other)?,
            Ok(Some(_)) => return Err(io::ErrorKind::InvalidData.into()),
            Ok(None) => return Err(self.stillborn()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(self.stillborn());
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let text = format!(
                    "the new process was silent for {} seconds",
                    SILENCE.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(error) => return Err(error),
        };
        if hello.fingerprint != fingerprint || hello.pid != self.kid.pid {
            let text = "the new process runs another build of this program";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let start = Start {
            fingerprint,
            name: name.to_owned(),
            is_watched,
        };
        let parcel = Parcel::pack(&start).map_err(io::Error::other)?;
        Outgoing::new(protocol::START, 0, parcel)?.send(&self.wire, Limit::Within(SILENCE))
    }

    /// It ended before it said a word.
    #[track_caller]
    fn stillborn(&self) -> io::Error {
        let status = self.kid.wait();
        io::Error::other(format!("the new process ended before it began: {status}"))
    }

    /// Sends a job and waits for what it comes to.
    ///
    /// # Errors
    /// When the connection breaks: as a rule the child has ended, or is about to.
    #[track_caller]
    pub(super) fn call(&mut self, job: &mut Outgoing) -> io::Result<Reply> {
        // Who waits on the thread itself is not to wake, besides, the worker that waited for the reply before.
        self.wire.settle_here();
        job.send(&self.wire, Limit::Never)?;
        // What stands in the argument is the child's now: an end of a pipe that it closes is to be closed.
        job.release();
        match self.incoming.recv(&self.wire, Limit::Never)? {
            Some(frame) => Reply::read(frame),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether the connection has ended: the child is dead, or dying.
    pub(super) fn is_gone(&self) -> bool {
        self.kid.status().is_some() || self.wire.is_hung_up()
    }

    /// Lets the child end in peace.
    #[track_caller]
    pub(super) fn dismiss(&self) {
        let bye = Outgoing::new(protocol::BYE, 0, Parcel::default());
        // One that is gone needs no goodbye.
        let _ = bye.and_then(|mut bye| bye.send(&self.wire, Limit::Never));
    }
}
