//! A program that runs: waited for, signalled, fed and read.

use std::io;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use crate::io::Limit;
use crate::scheduler::park;
use crate::signal::Signal;

use super::communicate::{Exchange, Job};
use super::inner::{Held, Inner};
use super::pipes::{ChildStderr, ChildStdin, ChildStdout};

/// A program that was started by [`Command::spawn`](super::Command::spawn).
///
/// As [`std::process::Child`]. Dropped before the program has ended, it lets it go on (unless
/// [`Command::kill_on_drop`](super::Command::kill_on_drop) is set) and sees to it that it becomes no zombie.
/// To wait for one child from several places, use [`handle`](Self::handle).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::process::{Command, exit_signal};
/// use greenloom::signal::Signal;
///
/// # greenloom::run(|| {
/// let mut child = Command::new("sleep").arg("1000").spawn()?;
/// assert_eq!(child.wait_timeout(Duration::from_millis(1))?, None);
/// child.kill()?;
/// assert_eq!(exit_signal(child.wait()?), Some(Signal::KILL));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Child {
    /// The pipe to its standard input, if that was asked for.
    pub stdin: Option<ChildStdin>,
    /// The pipe from its standard output, if that was asked for.
    pub stdout: Option<ChildStdout>,
    /// The pipe from its standard error, if that was asked for.
    pub stderr: Option<ChildStderr>,
    owner: Owner,
    /// What `communicate` has done so far: kept when it is cancelled or out of time.
    job: Job,
}

/// What is done when a [`Child`] is dropped: not by the child itself, whose pipes could then not be moved out.
#[derive(Debug)]
struct Owner {
    handle: ChildHandle,
    kill_on_drop: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // It may have ended.
            let _ = self.handle.kill();
        }
    }
}

/// A child, to be waited for and signalled from several tasks and threads at once.
///
/// The status is there for each of them, as often as they ask. It becomes no zombie when all of them are
/// dropped.
#[derive(Clone, Debug)]
pub struct ChildHandle {
    inner: Arc<Held>,
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stderr = child.stderr.take();
        // First, so that it is in good hands if anything fails from here on.
        let inner = Held::new(Inner::new(child));
        let handle = ChildHandle {
            inner: Arc::new(inner),
        };
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            owner: Owner {
                handle,
                kill_on_drop,
            },
            job: Job::default(),
        };
        child.stdin = stdin.map(TryInto::try_into).transpose()?;
        child.stdout = stdout.map(TryInto::try_into).transpose()?;
        child.stderr = stderr.map(TryInto::try_into).transpose()?;
        Ok(child)
    }

    /// For waiting and signalling from elsewhere.
    pub fn handle(&self) -> ChildHandle {
        self.owner.handle.clone()
    }

    /// Its process number. Another process may have it when this one has been waited for.
    pub fn id(&self) -> u32 {
        self.owner.handle.id()
    }

    /// Closes its standard input and waits for its end; returns at once, and as often as asked, when it has
    /// ended.
    ///
    /// A program that writes more than a pipe holds, and whose pipe nobody reads, never ends:
    /// [`communicate`](Self::communicate) reads and waits.
    ///
    /// # Errors
    ///
    /// The system's, when somebody else in this process has waited for it, or SIGCHLD is ignored.
    ///
    /// # Cancellation
    ///
    /// Unwinds; the program goes on.
    ///
    /// # Parks
    ///
    /// Until it has ended (`process.wait`), or behind others who wait for it (`process.wait_line`).
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.wait_within(Limit::Never)
    }

    #[track_caller]
    pub(super) fn wait_within(&mut self, limit: Limit) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.owner.handle.inner.wait(limit)
    }

    /// As [`wait`](Self::wait), at most for `timeout`; `None` when it has not ended by then. Zero asks once.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.owner.handle.wait_timeout(timeout)
    }

    /// Its status if it has ended. Never waits, and leaves its standard input open.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.owner.handle.try_wait()
    }

    /// Ends it at once, by SIGKILL; it is still to be waited for. Does nothing when it has ended.
    ///
    /// # Errors
    ///
    /// The system's, when it is none of ours to signal.
    pub fn kill(&mut self) -> io::Result<()> {
        self.owner.handle.kill()
    }

    /// Sends it a signal; does nothing when it has ended. It never meets another process that has got the
    /// number since.
    ///
    /// # Errors
    ///
    /// As for [`kill`](Self::kill); `InvalidInput` for real-time signals.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.owner.handle.send_signal(signal)
    }

    /// Gives it `input`, closes its standard input, reads its output and error to their ends, and waits for
    /// its end: all at once, so that no pipe can be full for ever.
    ///
    /// Reads only what was set to [`Stdio::piped`](super::Stdio::piped); the rest of the answer is empty. A
    /// program that ends without having read its input is no error. The end of the output is when everybody
    /// has closed it who got it from the program, its own children included.
    ///
    /// May be called again after it was cancelled, or ran [out of time](Self::communicate_timeout): it then
    /// goes on where it was, with `input` behind what is still to be written, and the answer is complete.
    /// What was read so far is to be had from [`captured`](Self::captured). As Python's `communicate`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when there is an `input` and no pipe to give it to; the system's.
    ///
    /// # Cancellation
    ///
    /// Unwinds; nothing that was read is lost, and the program goes on.
    ///
    /// # Parks
    ///
    /// Until the output has ended (`process.communicate`), and the program has (`process.wait`).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::process::{Command, Stdio};
    ///
    /// # greenloom::run(|| {
    /// let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let output = child.communicate("b\na\n")?;
    /// assert_eq!(output.stdout, b"a\nb\n");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn communicate(&mut self, input: impl AsRef<[u8]>) -> io::Result<Output> {
        self.communicate_within(input.as_ref(), Limit::Never)
    }

    /// As [`communicate`](Self::communicate), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`. Nothing is lost by it: the program is still running, what was
    /// read is in [`captured`](Self::captured), and a later call goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, time::Duration};
    /// use greenloom::process::{Command, Stdio};
    ///
    /// # greenloom::run(|| {
    /// let mut child = Command::new("sh")
    ///     .args(["-c", "echo early; exec sleep 1000"])
    ///     .stdout(Stdio::piped())
    ///     .spawn()?;
    /// let error = child.communicate_timeout("", Duration::from_millis(200)).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    /// child.kill()?;
    /// assert_eq!(child.communicate("")?.stdout, b"early\n");
    /// # io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn communicate_timeout(
        &mut self,
        input: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> io::Result<Output> {
        self.communicate_within(input.as_ref(), Limit::Within(timeout))
    }

    #[track_caller]
    fn communicate_within(&mut self, input: &[u8], limit: Limit) -> io::Result<Output> {
        let deadline = limit.deadline();
        Exchange {
            stdin: &mut self.stdin,
            stdout: &mut self.stdout,
            stderr: vec![&mut self.stderr],
            job: &mut self.job,
        }
        .run(input, deadline)?;
        let status = self.wait_within(Limit::At(deadline))?;
        let (stdout, stderr) = self.job.take();
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// What [`communicate`](Self::communicate) has read so far from standard output and standard error, when
    /// it was cancelled or out of time.
    pub fn captured(&self) -> (&[u8], &[u8]) {
        self.job.captured()
    }

    /// Closes its standard input, reads its output and error to their ends, and waits for its end.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Cancellation
    ///
    /// Unwinds, and drops the child with what was read of it.
    ///
    /// # Parks
    ///
    /// As [`communicate`](Self::communicate).
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        self.communicate("")
    }
}

impl ChildHandle {
    /// See [`Child::id`].
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// As [`Child::wait`], but its standard input stays open if it is.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Parks
    ///
    /// As there.
    #[track_caller]
    pub fn wait(&self) -> io::Result<ExitStatus> {
        self.inner.wait(Limit::Never)
    }

    /// As [`Child::wait_timeout`], but its standard input stays open if it is.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        match self.inner.wait(Limit::At(park::deadline(timeout))) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// See [`Child::try_wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// See [`Child::kill`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill(&self) -> io::Result<()> {
        self.inner.send_signal(Signal::KILL)
    }

    /// See [`Child::send_signal`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.inner.send_signal(signal)
    }
}
