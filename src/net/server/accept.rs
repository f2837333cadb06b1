//! The accepting: one connection after the other, as long as there are permits, descriptors and tasks.

use std::fmt::Display;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::net::Listener;
use crate::runtime::Handle;
use crate::sync::OwnedSemaphoreGuard;
use crate::task::Builder;

use super::connection::{Connection, Outcome, Seat};
use super::state::State;

/// The pause after the first failure for want of descriptors; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One task that accepts.
pub(super) struct Accepter<L: Listener, F> {
    pub(super) listener: Arc<L>,
    pub(super) state: Arc<State<L::Stream>>,
    pub(super) handler: Arc<F>,
    pub(super) home: Handle,
    /// Its connections stay on this worker; or each goes where there are fewest.
    pub(super) worker: Option<usize>,
    pub(super) name: Arc<str>,
    pub(super) stack_size: Option<usize>,
}

impl<L, F, E> Accepter<L, F>
where
    L: Listener,
    F: Fn(&Connection<L>) -> Result<(), E> + Send + Sync + 'static,
    E: Display,
{
    /// Accepts until the server is told to stop, or can accept no more for a reason that stays.
    pub(super) fn run(self) {
        let mut pause = FIRST_PAUSE;
        while !self.state.word.stop.is_set() {
            match self.accept() {
                Ok((stream, peer, permit)) => {
                    pause = FIRST_PAUSE;
                    self.begin(stream, peer, permit);
                }
                // It was there, and has gone.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(_) if self.listener.is_closed() => return self.state.word.stop.set(),
                Err(error) if is_shortage(&error) => {
                    self.wait_for_better(&error, &mut pause);
                }
                Err(error) => {
                    let mut fault = self
                        .state
                        .fault
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    fault.get_or_insert(error);
                    drop(fault);
                    return self.state.word.stop.set();
                }
            }
        }
    }

    /// The next connection, with a permit, which comes before it: a connection beyond the limit waits in the
    /// system's queue.
    fn accept(&self) -> io::Result<(L::Stream, L::Address, OwnedSemaphoreGuard)> {
        // Of several listeners, none may keep permits for connections that come to another one.
        let is_one_of_several = self.worker.is_some() && self.state.is_limited();
        if is_one_of_several {
            self.listener.wait_acceptable()?;
        }
        let permit = self.state.permits.acquire_owned();
        let (stream, peer) = match is_one_of_several {
            true => self.listener.accept_timeout(Duration::ZERO)?,
            false => self.listener.accept()?,
        };
        Ok((stream, peer, permit))
    }

    /// No descriptor is left, or no memory: the connection waits in the system's queue, and so do we.
    fn wait_for_better(&self, error: &io::Error, pause: &mut Duration) {
        self.state.counts.shortages.fetch_add(1, Ordering::Relaxed);
        if *pause == FIRST_PAUSE {
            log::warn!("{}: accepts no connection for now: {error}", self.name);
        }
        self.state.word.stop.wait_timeout(*pause);
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }

    /// Gives a connection its task.
    fn begin(&self, stream: L::Stream, peer: L::Address, permit: OwnedSemaphoreGuard) {
        let state = &self.state;
        state.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(stream);
        let place = state.enter(stream.clone());
        let worker = match self.worker {
            Some(worker) => {
                state.load(worker);
                worker
            }
            None => state.place(),
        };
        let seat = Seat {
            state: state.clone(),
            place,
            worker,
            outcome: Outcome::Open,
            permit: Some(permit),
        };
        let connection = Connection::new(stream.clone(), peer, seat);
        let (handler, name) = (self.handler.clone(), self.name.clone());
        let task = move || serve_one(&*handler, connection, &name);
        let mut builder = Builder::new().name(&*self.name);
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        match builder.spawn_at(&self.home, worker, task) {
            Ok(task) => state.assign(place, &stream, task),
            Err(error) => {
                // It went with the closure, and was counted as cancelled.
                state.counts.cancelled.fetch_sub(1, Ordering::Relaxed);
                state.counts.failed.fetch_add(1, Ordering::Relaxed);
                log::warn!("{}: a connection gets no task: {error}", self.name);
            }
        }
    }
}

/// The body of a connection's task. A panic is told by the task, as of any other that nobody joins.
fn serve_one<L, F, E>(handler: &F, mut connection: Connection<L>, name: &str)
where
    L: Listener,
    F: Fn(&Connection<L>) -> Result<(), E>,
    E: Display,
{
    let outcome = match handler(&connection) {
        Ok(()) => Outcome::Served,
        Err(error) => {
            log::warn!("{name}: the connection of {:?}: {error}", connection.peer());
            Outcome::Failed
        }
    };
    connection.note(outcome);
}

/// Whether an error of accept is about what is used up, and not about the listener.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        // The last one is a rule of the firewall's, which may be another one in a moment.
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::PERM)
    )
}
