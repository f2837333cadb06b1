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
        let mut seated = Seated {
            places: self,
            seat: Some(seat),
        };
        let wait = Wait::new(reason).on(self);
        while !seated.is_called() {
            let _ = park::park(&wait);
        }
        // Dropped, and not forgotten: it holds a count of the waiter.
        seated.seat = None;
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
    /// `None` once it has come for its place.
    seat: Option<Arc<Seat>>,
}

impl Seated<'_> {
    fn is_called(&self) -> bool {
        let _book = self.places.book();
        let seat = self.seat.as_ref();
        seat.is_some_and(|seat| seat.is_called.load(Ordering::Relaxed))
    }
}

impl Drop for Seated<'_> {
    /// Unwinds: out of the line, or past the place that was promised.
    fn drop(&mut self) {
        let Some(mine) = &self.seat else { return };
        let is_called = {
            let mut book = self.places.book();
            book.line.retain(|seat| !Arc::ptr_eq(seat, mine));
            mine.is_called.load(Ordering::Relaxed)
        };
        if is_called {
            self.places.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_has_waited_for_a_place_leaves_nothing_behind() {
        let places = Places::default();
        places.set_limit(Some(1));
        let first = places.take("test.place");
        let seat = thread::scope(|s| {
            let other = s.spawn(|| drop(places.take("test.place")));
            let seat = loop {
                if let Some(seat) = places.book().line.front() {
                    break Arc::downgrade(seat);
                }
                thread::yield_now();
            };
            drop(first);
            other.join().unwrap();
            seat
        });
        assert!(seat.upgrade().is_none());
        assert!(places.try_take().is_some());
    }
}
