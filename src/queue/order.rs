//! The order in which items leave a queue: first in first out, last in first out, or as somebody's comparisons say.

use std::collections::VecDeque;

/// An order, with what it must keep outside of the queue's latch.
///
/// `push` and `pop` run inside the latch, so they run no code of the user's. An order that has to compare
/// items answers `pop` with nothing, and is then asked to `choose` outside of it.
pub(super) trait Order<T>: Default {
    /// Where the items lie, inside the latch.
    type Store: Default;

    fn push(store: &mut Self::Store, item: T);

    /// Takes the next item out. `None`: the store is empty, or only `choose` can say which is next.
    fn pop(store: &mut Self::Store) -> Option<T>;

    /// Takes the next item out for a caller to whom one is promised; may park, panic and unwind, and has
    /// taken nothing then.
    ///
    /// `fetch` exchanges an empty store for that of the queue, or says that there is nothing left.
    #[track_caller]
    fn choose(&self, fetch: impl FnOnce(&mut Self::Store) -> bool) -> Option<T> {
        let _ = fetch;
        None
    }

    /// Drops what `choose` has fetched, unless somebody is choosing, who then does it when it has chosen.
    fn clear(&self) {}
}

/// First in, first out.
#[derive(Debug, Default)]
pub(super) struct Fifo;

impl<T> Order<T> for Fifo {
    type Store = VecDeque<T>;

    #[inline]
    fn push(store: &mut VecDeque<T>, item: T) {
        store.push_back(item);
    }

    #[inline]
    fn pop(store: &mut VecDeque<T>) -> Option<T> {
        store.pop_front()
    }
}

/// Last in, first out.
#[derive(Debug, Default)]
pub(super) struct Lifo;

impl<T> Order<T> for Lifo {
    type Store = Vec<T>;

    #[inline]
    fn push(store: &mut Vec<T>, item: T) {
        store.push(item);
    }

    #[inline]
    fn pop(store: &mut Vec<T>) -> Option<T> {
        store.pop()
    }
}
