//! A limited number of places, and the line of those that wait for one.
//!
//! A place that comes free while somebody waits goes to the first in line by name (`is_called`), never back
//! into the pot: who comes later cannot take it. Whoever is called and unwinds instead of coming passes it on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::base::primitive::{AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::scheduler::park::{self, Describe, Wait};

/// How many may be inside at once; without a limit to begin with.
#[derive(Debug, Default)]
pub(super) struct Places {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    limit: Option<usize>,
    /// Places that are taken, or promised to somebody who was called.
    taken: usize,
    line: VecDeque<Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    waker: Waker,
    /// Set inside the lock, when the seat is out of the line and a place is promised to it.
    is_called: AtomicBool,
}

impl Book {
    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.taken < limit)
    }

    fn try_take(&mut self) -> bool {
        let may = self.line.is_empty() && self.has_room();
        self.taken += usize::from(may);
        may
    }

    /// Promises free places to the first in line; who is called must be woken outside of the lock.
    fn call(&mut self) -> Vec<Arc<Seat>> {
        let mut called = Vec::new();
        while self.has_room()
            && let Some(seat) = self.line.pop_front()
        {
            self.taken += 1;
            // Relaxed: read inside the lock.
            seat.is_called.store(true, Ordering::Relaxed);
            called.push(seat);
        }
        called
    }
}

fn wake(called: &[Arc<Seat>]) {
    for seat in called {
        seat.waker.wake_by_ref();
    }
}

impl Places {
    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    pub(super) fn set_limit(&self, limit: Option<usize>) {
        let called = {
            let mut book = self.book();
            book.limit = limit;
            book.call()
        };
        wake(&called);
    }

    /// Takes a place if one is free and nobody waits for it.
    pub(super) fn try_take(&self) -> Option<Place<'_>> {
        let is_taken = self.book().try_take();
        // Not made before it is sure: its drop gives a place back.
        is_taken.then(|| Place { places: self })
    }

    /// Takes a place, and waits for it in line if need be.
    #[track_caller]
    pub(super) fn take(&self, reason: &'static str) -> Place<'_> {
        let waker = park::current_waker();
        let seat = {
            let mut book = self.book();
            if book.try_take() {
                drop(book);
                return Place { places: self };
            }
            let seat = Arc::new(Seat {
                waker,
                is_called: AtomicBool::new(false),
            });
            book.line.push_back(seat.clone());
            seat
        };
        let seated = Seated { places: self, seat };
        let wait = Wait::new(reason).on(self);
        while !seated.is_called() {
            let _ = park::park(&wait);
        }
        std::mem::forget(seated);
        Place { places: self }
    }

    fn leave(&self) {
        let called = {
            let mut book = self.book();
            book.taken -= 1;
            book.call()
        };
        wake(&called);
    }
}

impl Describe for Places {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        write!(f, "a place among {}", book.limit.unwrap_or(usize::MAX))
    }
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.leave();
    }
}

/// A waiter in line.
struct Seated<'a> {
    places: &'a Places,
    seat: Arc<Seat>,
}

impl Seated<'_> {
    fn is_called(&self) -> bool {
        let _book = self.places.book();
        self.seat.is_called.load(Ordering::Relaxed)
    }
}

impl Drop for Seated<'_> {
    /// Unwinds: out of the line, or past the place that was promised.
    fn drop(&mut self) {
        let is_called = {
            let mut book = self.places.book();
            book.line.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
            self.seat.is_called.load(Ordering::Relaxed)
        };
        if is_called {
            self.places.leave();
        }
    }
}
