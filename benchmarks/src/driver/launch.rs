//! One measurement: a process for one case and one peer, held to its CPUs, with an end in any case.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{env, thread};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::cpu::{self, Watch};
use super::foreign::Foreign;
use crate::cases::Case;
use crate::metric::Metric;
use crate::peers::list::Peer;

/// A process that takes longer than this hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    Figures {
        figures: Vec<(Metric, f64)>,
        /// Share of the CPUs that others took.
        others: f64,
    },
    Cannot(String),
}

/// Starts measurements.
#[derive(Debug)]
pub struct Launcher {
    pub foreign: Foreign,
    /// How long a measurement shall last; servers are measured four times as long.
    pub span: Duration,
    cpus: Vec<usize>,
}

impl Launcher {
    pub fn new(foreign: Foreign, span: Duration) -> Launcher {
        Launcher {
            foreign,
            span,
            cpus: cpu::allowed(),
        }
    }

    pub fn cpus(&self) -> usize {
        self.cpus.len()
    }

    pub fn measure(&self, case: &Case, peer: Peer) -> io::Result<Outcome> {
        if case.workers > self.cpus.len() {
            let reason = format!("this process may use {} CPU(s) only", self.cpus.len());
            return Ok(Outcome::Cannot(reason));
        }
        let outcome = if case.what.is_served() {
            self.served(case, peer)
        } else {
            self.alone(case, peer)
        };
        cpu::pin(&self.cpus)?;
        outcome
    }

    /// What each peer's program is told.
    pub fn arguments(case: &Case, peer: Peer, span: Duration) -> [String; 5] {
        [
            peer.id().into(),
            case.what.word().into(),
            case.size.to_string(),
            case.workers.to_string(),
            span.as_millis().to_string(),
        ]
    }

    fn alone(&self, case: &Case, peer: Peer) -> io::Result<Outcome> {
        let cpus = &self.cpus[..case.workers];
        let mut command = self.foreign.command(peer)?;
        command.args(Self::arguments(case, peer, self.span));
        cpu::pin(cpus)?;
        let watch = Watch::start(cpus);
        let output = wait(start(&mut command)?, LIMIT)?;
        Ok(read(&output, watch.others()))
    }

    /// The server on the first CPU and the client on the next, or both on the same.
    fn served(&self, case: &Case, peer: Peer) -> io::Result<Outcome> {
        let span = self.span * 4;
        let servers = &self.cpus[..case.workers];
        let clients = match case.what.is_on_one_cpu() || self.cpus.len() == case.workers {
            true => servers,
            false => &self.cpus[case.workers..=case.workers],
        };
        let mut command = self.foreign.command(peer)?;
        command.args(Self::arguments(case, peer, span));
        cpu::pin(servers)?;
        let both: Vec<usize> = self.cpus[..self.cpus.len().min(2)].to_vec();
        let watch = Watch::start(if case.what.is_on_one_cpu() {
            servers
        } else {
            &both
        });
        let mut server = Server(start(&mut command)?);
        let mut said = BufReader::new(server.0.stdout.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line)?;
        let Some(port) = line.trim().strip_prefix("port ") else {
            said.read_to_string(&mut line)?;
            let mut stderr = Vec::new();
            if let Some(mut pipe) = server.0.stderr.take() {
                pipe.read_to_end(&mut stderr)?;
            }
            let output = Output {
                status: server.0.wait()?,
                stdout: line.into_bytes(),
                stderr,
            };
            return Ok(read(&output, 0.0));
        };
        cpu::pin(clients)?;
        let mut command = Command::new(env::current_exe()?);
        command.args([
            "load",
            case.what.word(),
            &case.size.to_string(),
            port,
            &span.as_millis().to_string(),
            &server.0.id().to_string(),
        ]);
        let output = wait(start(&mut command)?, LIMIT)?;
        drop(server);
        Ok(read(&output, watch.others()))
    }
}

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Its output; what does not end within the limit is killed.
pub fn wait(child: Child, limit: Duration) -> io::Result<Output> {
    let pid = Pid::from_child(&child);
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let (ended, has_ended) = channel::<()>();
    let guard = thread::spawn(move || {
        let late = has_ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output();
    drop(ended);
    match guard.join() {
        Ok(true) => Err(io::Error::other(format!(
            "no end within {} s",
            limit.as_secs()
        ))),
        _ => output,
    }
}

/// The lines `METRIC VALUE` or `cannot REASON`.
fn read(output: &Output, others: f64) -> Outcome {
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(reason) = text.lines().find_map(|line| line.strip_prefix("cannot ")) {
        return Outcome::Cannot(reason.into());
    }
    let figures: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let (word, value) = line.split_once(' ')?;
            Some((Metric::parse(word)?, value.parse().ok()?))
        })
        .collect();
    if output.status.success() && !figures.is_empty() {
        return Outcome::Figures { figures, others };
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Outcome::Cannot(format!(
        "failed, {}: {}",
        output.status,
        last.unwrap_or("no word")
    ))
}
