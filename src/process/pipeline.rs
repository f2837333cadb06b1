//! Programs one behind the other, each fed with what the one before it writes.

use std::io::{self, PipeReader};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::io::Limit;
use crate::scheduler::park;
use crate::signal::Signal;

use super::child::Child;
use super::command::Command;
use super::communicate::{Exchange, Job};

/// Programs that were started by [`pipeline`].
#[derive(Debug)]
pub struct Pipeline {
    children: Vec<Child>,
    job: Job,
}

/// What a [`Pipeline`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineOutput {
    /// Of each program, in their order.
    pub statuses: Vec<ExitStatus>,
    /// Of the last program, if it was a pipe.
    pub stdout: Vec<u8>,
    /// Of each program for which it was a pipe, one behind the other.
    pub stderr: Vec<u8>,
}

impl PipelineOutput {
    /// The status of the last program, which is what a shell gives by default.
    pub fn status(&self) -> ExitStatus {
        *self.statuses.last().expect("there is a last one")
    }
}

/// Starts programs so that each reads what the one before it writes: `ls -l | wc`.
///
/// Standard input of the first, standard output of the last and standard error of each are as their commands
/// say, ours by default; what is between two programs is set here, and neither end stays open with us: a program whose
/// reader has gone is told so. When one cannot be started, those before it are killed.
///
/// # Errors
///
/// As for [`Command::spawn`]; `InvalidInput` for no commands.
///
/// # Examples
///
/// ```
/// use greenloom::process::{Command, Stdio, pipeline};
///
/// # greenloom::run(|| {
/// let mut pipeline = pipeline([
///     Command::new("printf").arg("b\\na\\n"),
///     Command::new("sort").stdout(Stdio::piped()),
/// ])?;
/// assert_eq!(pipeline.communicate("")?.stdout, b"a\nb\n");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn pipeline<'a>(commands: impl IntoIterator<Item = &'a mut Command>) -> io::Result<Pipeline> {
    let mut commands = commands.into_iter().peekable();
    let mut children: Vec<Child> = Vec::new();
    let mut from_before = None;
    while let Some(command) = commands.next() {
        match start(command, from_before.take(), commands.peek().is_none()) {
            Ok((child, to_next)) => {
                children.push(child);
                from_before = to_next;
            }
            Err(error) => {
                for mut child in children {
                    // It may have ended; its status is taken in the background.
                    let _: io::Result<()> = child.kill();
                }
                return Err(error);
            }
        }
    }
    if children.is_empty() {
        let text = "a pipeline of no programs";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(Pipeline {
        children,
        job: Job::default(),
    })
}

/// Starts one of them; gives what the next one is to read, unless it is the last.
fn start(
    command: &mut Command,
    from_before: Option<PipeReader>,
    is_last: bool,
) -> io::Result<(Child, Option<PipeReader>)> {
    let (stdout, to_next) = match is_last {
        true => (None, None),
        // Close-on-exec, both: the next program inherits no end but its own.
        false => io::pipe().map(|(reader, writer)| (Some(writer.into()), Some(reader)))?,
    };
    let child = command.spawn_between(from_before.map(Stdio::from), stdout)?;
    Ok((child, to_next))
}

impl Pipeline {
    /// The programs, in their order.
    pub fn children(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Closes the standard input of the first and waits for the end of all.
    ///
    /// # Errors
    ///
    /// As for [`Child::wait`].
    ///
    /// # Cancellation
    ///
    /// Unwinds; the programs go on.
    ///
    /// # Parks
    ///
    /// Until each has ended (`process.wait`).
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<Vec<ExitStatus>> {
        self.children.iter_mut().map(Child::wait).collect()
    }

    /// As [`wait`](Self::wait), at most for `timeout`; `None` when one of them has not ended by then.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<Vec<ExitStatus>>> {
        let deadline = park::deadline(timeout);
        let mut statuses = Vec::with_capacity(self.children.len());
        for child in &mut self.children {
            match child.wait_within(Limit::At(deadline)) {
                Ok(status) => statuses.push(status),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(statuses))
    }

    /// Feeds the first, reads the output of the last and the errors of all, and waits for all, at once: as
    /// [`Child::communicate`], and like it to be called again when it was cancelled.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancellation
    ///
    /// As there.
    ///
    /// # Parks
    ///
    /// As there.
    #[track_caller]
    pub fn communicate(&mut self, input: impl AsRef<[u8]>) -> io::Result<PipelineOutput> {
        self.communicate_within(input.as_ref(), Limit::Never)
    }

    /// As [`communicate`](Self::communicate), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`: see [`Child::communicate_timeout`].
    #[track_caller]
    pub fn communicate_timeout(
        &mut self,
        input: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> io::Result<PipelineOutput> {
        self.communicate_within(input.as_ref(), Limit::Within(timeout))
    }

    #[track_caller]
    fn communicate_within(&mut self, input: &[u8], limit: Limit) -> io::Result<PipelineOutput> {
        let deadline = limit.deadline();
        let (mut stdin, mut stdout) = (&mut None, &mut None);
        let mut stderr = Vec::with_capacity(self.children.len());
        let last = self.children.len() - 1;
        for (index, child) in self.children.iter_mut().enumerate() {
            if index == 0 {
                stdin = &mut child.stdin;
            }
            if index == last {
                stdout = &mut child.stdout;
            }
            stderr.push(&mut child.stderr);
        }
        let job = &mut self.job;
        Exchange {
            stdin,
            stdout,
            stderr,
            job,
        }
        .run(input, deadline)?;
        let mut statuses = Vec::with_capacity(self.children.len());
        for child in &mut self.children {
            statuses.push(child.wait_within(Limit::At(deadline))?);
        }
        let (stdout, stderr) = self.job.take();
        Ok(PipelineOutput {
            statuses,
            stdout,
            stderr,
        })
    }

    /// Ends all of them at once, by SIGKILL.
    ///
    /// # Errors
    ///
    /// As for [`Child::kill`], after all were tried.
    pub fn kill(&mut self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }

    /// Sends a signal to each of them that has not ended.
    ///
    /// # Errors
    ///
    /// As for [`Child::send_signal`], after all were tried.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let send = |child: &Child| child.send_signal(signal);
        self.children.iter().map(send).fold(Ok(()), io::Result::and)
    }
}
