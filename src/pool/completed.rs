//! Tasks in the order in which they end.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::iter::FusedIterator;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use crate::base::clock::Deadline;
use crate::scheduler::park::{Describe, Wait};
use crate::sync::latch::Latch;
use crate::sync::wait_list::{self, Queue, Ticket, WaitList};
use crate::task::{JoinError, JoinHandle};

/// Iterates over the outcomes of tasks as they end: see
/// [`GreenPool::as_completed`](super::GreenPool::as_completed).
///
/// # Cancellation
///
/// A `next` that is cancelled or times out loses no outcome.
///
/// # Parks
///
/// `next` does while none of the tasks has ended (`pool.completed`).
pub struct AsCompleted<T> {
    tasks: Slab<Pending<T>>,
    ended: Arc<Ended>,
}

enum Pending<T> {
    Task(JoinHandle<T>),
    /// What it came to at once.
    Outcome(Result<T, JoinError>),
}

/// The places of tasks that have ended, in the order of their ends.
struct Ended {
    state: Latch<State>,
}

struct State {
    places: VecDeque<usize>,
    /// The one who iterates.
    line: WaitList<()>,
}

/// What a task wakes at its end.
struct Bell {
    ended: Arc<Ended>,
    place: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ended.add(self.place);
    }
}

impl Ended {
    fn add(&self, place: usize) {
        let mut state = self.state.lock();
        state.places.push_back(place);
        let waker = state.line.call_first();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[track_caller]
    fn take(&self) -> usize {
        loop {
            let mut state = self.state.lock();
            if let Some(place) = state.places.pop_front() {
                return place;
            }
            let ticket = state.line.join(());
            drop(state);
            let wait = Wait::new("pool.completed").on(self).until(Deadline::NEVER);
            wait_list::wait(self, ticket, &wait);
        }
    }
}

impl Queue for &Ended {
    type Outcome = ();

    fn settle(&self, ticket: &Ticket, _is_late: bool) -> Option<()> {
        let mut state = self.state.lock();
        state.line.is_called(ticket).then(|| {
            let _ = state.line.leave(ticket);
        })
    }

    fn abandon(&self, ticket: &Ticket) {
        // The places stay, for the next `next`.
        let _ = self.state.lock().line.leave(ticket);
    }
}

impl Describe for Ended {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tasks of which none has ended")
    }
}

impl<T> AsCompleted<T> {
    pub(super) fn new() -> Self {
        AsCompleted {
            tasks: Slab::new(),
            ended: Arc::new(Ended {
                state: Latch::new(State {
                    places: VecDeque::new(),
                    line: WaitList::new(),
                }),
            }),
        }
    }

    /// Adds a task.
    pub(super) fn push(&mut self, mut task: JoinHandle<T>) {
        let entry = self.tasks.vacant_entry();
        let bell = Arc::new(Bell {
            ended: self.ended.clone(),
            place: entry.key(),
        });
        let waker = Waker::from(bell.clone());
        match Pin::new(&mut task).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                entry.insert(Pending::Task(task));
            }
            Poll::Ready(outcome) => {
                entry.insert(Pending::Outcome(outcome));
                bell.wake();
            }
        }
    }

    /// Adds an outcome without a task.
    pub(super) fn push_outcome(&mut self, outcome: Result<T, JoinError>) {
        let place = self.tasks.insert(Pending::Outcome(outcome));
        self.ended.add(place);
    }

    /// How many outcomes are yet to come.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no outcome is yet to come.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn tasks(&mut self) -> impl Iterator<Item = &mut JoinHandle<T>> {
        self.tasks.iter_mut().filter_map(|(_, task)| match task {
            Pending::Task(task) => Some(task),
            Pending::Outcome(_) => None,
        })
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Result<T, JoinError>;

    #[track_caller]
    fn next(&mut self) -> Option<Result<T, JoinError>> {
        if self.tasks.is_empty() {
            return None;
        }
        let place = self.ended.take();
        match self.tasks.remove(place) {
            // It has ended, so this does not wait.
            Pending::Task(task) => Some(task.join()),
            Pending::Outcome(outcome) => Some(outcome),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<T> ExactSizeIterator for AsCompleted<T> {
    fn len(&self) -> usize {
        self.tasks.len()
    }
}

impl<T> FusedIterator for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("len", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
