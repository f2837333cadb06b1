//! A box of letters that many threads write and one reads, and the mark by which a writer knows that his lies in it.
//!
//! ```text
//!   stranger                                  the worker whose box it is
//!   1. does what the task waits for              1. empties the box
//!   2. `Announced::announce`: if a letter        2. for each letter: `Announced::receive`, then wakes
//!      lies there already, done                     the task, which looks whether it may go on
//!   3. puts the letter                           3. nothing to do: announces its sleep, looks at the
//!   4. looks whether the worker sleeps, and         box once more, and sleeps (`sleep.rs`)
//!      wakes it (`sleep.rs`)
//! ```
//!
//! No wake is lost: 2 on both sides are exchanges of one word, and so have one order. If the stranger's is first, the
//! worker's reads from it, or from one after it, and so the task sees what the stranger has done. If the worker's is
//! first, the stranger finds no mark, and its own letter comes.
//!
//! Questions are letters that are no news: see `commit_sleep` in `sleep.rs`.

use crate::base::primitive::{AtomicBool, Mutex, Ordering, lock};

#[derive(Debug)]
pub(crate) struct Letterbox<L> {
    letters: Mutex<Vec<L>>,
    /// Whether there are letters: the worker looks at this before it takes the lock.
    is_filled: AtomicBool,
    /// Whether there are letters other than questions: what a judgement of quiescence looks at.
    has_news: AtomicBool,
}

impl<L> Letterbox<L> {
    pub(crate) fn new() -> Self {
        Letterbox {
            letters: Mutex::new(Vec::new()),
            is_filled: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
        }
    }

    pub(crate) fn put(&self, letter: L, is_news: bool) {
        let mut letters = lock(&self.letters);
        letters.push(letter);
        // Inside the lock, so that `take` cannot clear it after a push it has not seen.
        self.is_filled.store(true, Ordering::Release);
        if is_news {
            self.has_news.store(true, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        // Acquire only for form's sake: the lock orders what is inside.
        self.is_filled.load(Ordering::Acquire)
    }

    /// Whether there is more than questions of a report: one on its way for an epoch gone by must not hide
    /// the quiescence of the next.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// Moves all letters into `into`, which is empty; its buffer is used again.
    pub(crate) fn take(&self, into: &mut Vec<L>) {
        let mut letters = lock(&self.letters);
        std::mem::swap(&mut *letters, into);
        self.is_filled.store(false, Ordering::Release);
        self.has_news.store(false, Ordering::Release);
    }
}

/// Whether a wake of this task lies in its home's box: the next stranger need not send another.
#[derive(Debug)]
pub(crate) struct Announced(AtomicBool);

impl Announced {
    pub(crate) fn new() -> Self {
        Announced(AtomicBool::new(false))
    }

    /// For strangers: true when their wake must be sent.
    pub(crate) fn announce(&self) -> bool {
        // AcqRel, even when set already: what this waker did before is seen by the task, because the
        // home's swap in `receive` reads from this one.
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// For the home worker, when it has taken the wake out of its box, and before it wakes the task.
    pub(crate) fn receive(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}
