//! Cancellation from outside: tokens that many may hold.
//!
//! A token is a flag, a line of wakers and a list of children, behind one lock that is never held over a
//! wake. A scope under a token leaves its task's waker in that line for as long as it lasts; the flag is
//! what the task's record looks at before and after each wait (`scheduler/cancel.rs`), so nothing is lost
//! between the two: the flag is raised first, and then the waker is used.
//!
//! A child holds its parent; the parent knows the child by a weak reference under a number that the child
//! takes out when it is dropped. Both ways, down at a cancellation and up at a drop, go in a loop: a chain
//! of tokens may be long and stacks are small.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use crate::base::clock::Deadline;
use crate::base::primitive::{Mutex, MutexGuard, lock};
use crate::scheduler::cancel::Flag;
use crate::scheduler::park::{self, Describe, Wait, Wake};

/// Why something was cancelled: any error, or a text.
#[derive(Clone)]
pub struct Reason {
    error: Arc<dyn Error + Send + Sync>,
}

impl Reason {
    fn new(error: Box<dyn Error + Send + Sync>) -> Self {
        Reason {
            error: error.into(),
        }
    }

    /// The error that was given, if it is of this type.
    ///
    /// # Examples
    ///
    /// ```
    ///     /// let token = greenloom::task::CancelToken::new();
    /// token.cancel_with(io::Error::other("disk full"));
    /// let reason = token.reason().unwrap();
    /// assert_eq!(reason.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::Other);
    /// assert_eq!(reason.to_string(), "disk full");
    /// ```
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        self.error.downcast_ref()
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reason").field(&self.error).finish()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// What lies in order of arrival and may leave in any order.
#[derive(Debug)]
struct Line<T> {
    places: Slab<(u64, T)>,
    /// How many have come.
    came: u64,
}

impl<T> Line<T> {
    const fn new() -> Self {
        Line {
            places: Slab::new(),
            came: 0,
        }
    }

    fn join(&mut self, value: T) -> Place {
        self.came += 1;
        let number = self.came;
        Place {
            key: self.places.insert((number, value)),
            number,
        }
    }

    /// `None` when it was taken meanwhile.
    fn leave(&mut self, place: Place) -> Option<T> {
        let is_there =
            matches!(self.places.get(place.key), Some((number, _)) if *number == place.number);
        is_there.then(|| self.places.remove(place.key).1)
    }

    /// All, first come first.
    fn take(&mut self) -> Vec<T> {
        let mut all: Vec<(u64, T)> = std::mem::take(&mut self.places)
            .into_iter()
            .map(|(_, entry)| entry)
            .collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, value)| value).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    key: usize,
    number: u64,
}

#[derive(Debug)]
struct Book {
    reason: Option<Reason>,
    watchers: Line<Waker>,
    children: Line<Weak<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// Raised inside the lock of `book`, so that whoever joins a line there has seen it lowered.
    flag: Arc<Flag>,
    book: Mutex<Book>,
    /// Set before the token is shared, taken at its end.
    parent: OnceLock<(Arc<Inner>, Place)>,
}

impl Inner {
    fn new() -> Inner {
        Inner {
            flag: Arc::default(),
            book: Mutex::new(Book {
                reason: None,
                watchers: Line::new(),
                children: Line::new(),
            }),
            parent: OnceLock::new(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Cancels this one alone: the children are left to the caller. False if it was before.
    fn cancel(&self, reason: Option<Reason>, children: &mut Vec<Arc<Inner>>) -> bool {
        let (watchers, born) = {
            let mut book = self.book();
            if self.flag.is_raised() {
                return false;
            }
            book.reason = reason;
            self.flag.raise();
            (book.watchers.take(), book.children.take())
        };
        for watcher in watchers {
            watcher.wake();
        }
        // The first born is taken out first.
        children.extend(born.iter().rev().filter_map(Weak::upgrade));
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some((parent, place)) = next {
            let child = parent.book().children.leave(place);
            drop(child);
            // With its own parent taken out, its drop goes no further up.
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

/// Something that can be cancelled once, and told to many: tasks, threads, and scopes that it unwinds.
///
/// Clones are the same token. A [`child`](Self::child) is cancelled with its parent, and alone without it.
/// What is done under a token is up to whoever holds it: [`with_token`](super::with_token) unwinds a section of code from its
/// waits, [`wait`](Self::wait) waits for the cancellation, [`is_cancelled`](Self::is_cancelled) asks.
///
/// As Go's `Context` with its cause, without values; for deadlines there are
/// [`timeout`](crate::timeout) and [`cancel_scope`](super::cancel_scope). In a [`select!`](macro@crate::select) it stands as `wait(token)`.
///
/// # Examples
///
/// ```
/// use greenloom::task::{CancelToken, with_token};
/// use std::time::Duration;
///
/// # greenloom::run(|| {
/// let stop = CancelToken::new();
/// let theirs = stop.child();
/// let task = greenloom::spawn(move || with_token(&theirs, || greenloom::sleep(Duration::MAX)));
/// stop.cancel_with("the shop closes");
/// let error = task.join().unwrap().unwrap_err();
/// assert_eq!(error.reason().unwrap().to_string(), "the shop closes");
/// # });
/// ```
#[derive(Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

impl CancelToken {
    /// A token that stands alone and is not cancelled.
    pub fn new() -> Self {
        CancelToken {
            inner: Arc::new(Inner::new()),
        }
    }

    /// A token that is cancelled with this one, for the same reason, or before it.
    pub fn child(&self) -> CancelToken {
        let child = CancelToken::new();
        let reason = {
            let mut book = self.inner.book();
            if !self.is_cancelled() {
                let place = book.children.join(Arc::downgrade(&child.inner));
                let link = (self.inner.clone(), place);
                // The child was made here, and nobody else can have set its parent.
                let _ = child.inner.parent.set(link);
                drop(book);
                return child;
            }
            book.reason.clone()
        };
        child.cancel_all(reason);
        child
    }

    /// Cancels it and its children; true if it was not before.
    ///
    /// Never parks. Who waits is woken in the order of coming, the children's after their parent's.
    pub fn cancel(&self) -> bool {
        self.cancel_all(None)
    }

    /// As [`cancel`](Self::cancel), and says why. The reason of the first cancellation stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = greenloom::task::CancelToken::new();
    /// assert!(token.cancel_with("first"));
    /// assert!(!token.cancel_with("second"));
    /// assert_eq!(token.reason().unwrap().to_string(), "first");
    /// ```
    pub fn cancel_with(&self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> bool {
        self.cancel_all(Some(Reason::new(reason.into())))
    }

    fn cancel_all(&self, reason: Option<Reason>) -> bool {
        let mut children = Vec::new();
        let is_first = self.inner.cancel(reason.clone(), &mut children);
        while let Some(child) = children.pop() {
            child.cancel(reason.clone(), &mut children);
        }
        is_first
    }

    /// Whether it was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.inner.flag.is_raised()
    }

    /// Why it was cancelled, if it was and somebody said why.
    pub fn reason(&self) -> Option<Reason> {
        self.inner.book().reason.clone()
    }

    /// Waits until it is cancelled; returns at once if it is.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While it is not cancelled (`task.token`).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but false when it was not cancelled within `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let token = greenloom::task::CancelToken::new();
    /// assert!(!token.wait_timeout(Duration::from_millis(1)));
    /// token.cancel();
    /// assert!(token.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_cancelled() || (!timeout.is_zero() && self.wait_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        let Some(_watch) = self.watch(park::current_waker()) else {
            return true;
        };
        let wait = Wait::new("task.token").on(self).until(deadline);
        loop {
            if self.is_cancelled() {
                return true;
            }
            if park::park(&wait) == Wake::TimedOut {
                return self.is_cancelled();
            }
        }
    }

    /// A guard that cancels this token when it is dropped, unless it is disarmed before.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = greenloom::task::CancelToken::new();
    /// drop(token.drop_guard().disarm());
    /// assert!(!token.is_cancelled());
    /// drop(token.drop_guard());
    /// assert!(token.is_cancelled());
    /// ```
    pub fn drop_guard(&self) -> CancelOnDrop {
        CancelOnDrop {
            token: Some(self.clone()),
        }
    }

    /// Has the waker used at the cancellation, unless the result is dropped before; `None` if there was one.
    pub(super) fn watch(&self, waker: Waker) -> Option<Watch<'_>> {
        let mut book = self.inner.book();
        if self.is_cancelled() {
            drop(book);
            return None;
        }
        let place = book.watchers.join(waker);
        Some(Watch {
            inner: &self.inner,
            place,
        })
    }

    /// What the record of a task under this token looks at.
    pub(super) fn flag(&self) -> Arc<Flag> {
        self.inner.flag.clone()
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

/// Whether both are the same token.
impl PartialEq for CancelToken {
    fn eq(&self, other: &CancelToken) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for CancelToken {}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .field("reason", &self.reason())
            .finish()
    }
}

impl Describe for CancelToken {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CancelToken that nobody has cancelled")
    }
}

/// A waker in a token's line.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    inner: &'a Inner,
    place: Place,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // The waker is dropped outside of the lock.
        let _waker = self.inner.book().watchers.leave(self.place);
    }
}

/// Cancels its token when it is dropped: see [`CancelToken::drop_guard`].
#[derive(Debug)]
#[must_use = "the token is cancelled when this is dropped"]
pub struct CancelOnDrop {
    /// `None` once disarmed.
    token: Option<CancelToken>,
}

impl CancelOnDrop {
    /// Leaves the token as it is, and gives it back.
    pub fn disarm(mut self) -> CancelToken {
        self.token.take().expect("only `disarm` takes it")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}
