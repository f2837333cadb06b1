//! The mailbox of one worker: what other threads want of it, and the directory by which they find it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::driver::reactor::Unparker;

use super::letterbox::Letterbox;
use super::report::Collector;
use super::sleep::Sleepers;
use super::task::TaskRef;

/// What a stranger may want of a worker.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A task that lives there has been woken.
    Wake(TaskRef),
    /// The task with this key has been woken.
    WakeKey(u32),
    /// A new task, which is to run there.
    Start(TaskRef),
    /// All parked tasks shall describe themselves; the last worker to answer sends `Settle` to the judge.
    Describe(Arc<Collector>),
    /// Every worker has answered: raise the report, or log it.
    Settle(Arc<Collector>),
    /// A main task, which lives there, shall end with this deadlock report.
    Deadlock(TaskRef, Arc<str>),
    /// Give back the stacks that you keep for later: others have none.
    SpareStacks,
    /// There may be stacks again; or, if hopeless, there will never be any.
    Stacks { is_hopeless: bool },
    /// Start nothing new, cancel everything, then end.
    Stop,
}

/// One worker's mailbox. It outlives the worker in the hands of late senders, and then swallows letters:
/// so nothing in it is a descriptor number or anything else that could be used again by others.
#[derive(Debug)]
pub(crate) struct Mailbox {
    index: usize,
    letters: Letterbox<Letter>,
    unparker: Unparker,
    sleepers: Arc<Sleepers>,
}

impl Mailbox {
    pub(crate) fn new(index: usize, unparker: Unparker, sleepers: Arc<Sleepers>) -> Self {
        Mailbox {
            index,
            letters: Letterbox::new(),
            unparker,
            sleepers,
        }
    }

    /// Leaves a letter and wakes the worker if it sleeps.
    pub(crate) fn post(&self, letter: Letter) {
        self.leave(letter);
        self.ring();
    }

    /// The first half of [`post`](Self::post), for who holds a lock.
    pub(crate) fn leave(&self, letter: Letter) {
        self.letters.put(letter, true);
    }

    /// The second half.
    pub(crate) fn ring(&self) {
        if self.sleepers.wake(self.index) {
            self.unparker.unpark();
        }
    }

    /// Leaves a question, which does not count as a wake.
    pub(crate) fn ask(&self, letter: Letter) {
        self.letters.put(letter, false);
        if self.sleepers.ask(self.index) {
            self.unparker.unpark();
        }
    }

    /// Writes the worker's eventfd: it has been woken.
    pub(crate) fn unpark(&self) {
        self.unparker.unpark();
    }

    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        self.letters.is_filled()
    }

    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.letters.has_news()
    }

    /// Moves all letters into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut Vec<Letter>) {
        self.letters.take(into);
    }
}

/// All workers of the process, by number. Few, and searched in order.
static DIRECTORY: RwLock<Vec<(u64, Arc<Mailbox>)>> = RwLock::new(Vec::new());

/// Numbers are never used again, so a wake that comes after its worker's end finds nobody.
static NEXT_WORKER: AtomicU64 = AtomicU64::new(1);

/// Enters a mailbox into the directory for as long as it lives.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) id: u64,
}

impl Address {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        let id = NEXT_WORKER.fetch_add(1, Ordering::Relaxed);
        DIRECTORY
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push((id, mailbox));
        Address { id }
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut directory = DIRECTORY.write().unwrap_or_else(PoisonError::into_inner);
        directory.retain(|(id, _)| *id != self.id);
    }
}

/// Posts to the worker with this number, if there is one still.
pub(crate) fn post(worker: u64, letter: Letter) {
    let mailbox = {
        let directory = DIRECTORY.read().unwrap_or_else(PoisonError::into_inner);
        directory
            .iter()
            .find(|(id, _)| *id == worker)
            .map(|(_, mailbox)| mailbox.clone())
    };
    // The letter of a worker that is gone is dropped here, outside the lock.
    if let Some(mailbox) = mailbox {
        mailbox.post(letter);
    }
}
