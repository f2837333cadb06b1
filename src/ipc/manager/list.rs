//! Lists that a manager serves.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::broker::{Bytes, ListData as Data, add_part, say};

use super::error::ManagerError;
use super::proxy::{Proxy, proxy_face};

/// A list in a [`Manager`](super::Manager): Python's `Manager().list()`, with the methods of a [`Vec`].
///
/// What this refers to is in the manager's process; clones, here or in other processes, refer to the same. Each method
/// is one step, which nobody sees half done; what takes two, such as reading an item and writing what comes of it, is
/// for a lock, or for a function that the manager runs: [`update`](Self::update). An index may be another item's by the
/// next call.
///
/// Waits, limits and cancellation are as for a [`Dict`](super::Dict).
///
/// # Errors
///
/// Of all methods: [`ManagerError`]: the manager is gone, the time is over, or a value is of another type.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{List, Manager};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::start()?;
/// let words: List<String> = manager.list()?;
/// words.extend(["one", "two", "three"].map(str::to_owned).iter())?;
/// assert_eq!(words.pop()?.as_deref(), Some("three"));
/// assert_eq!(words.to_vec()?, ["one", "two"]);
/// # Ok(())
/// # }
/// ```
pub struct List<T> {
    proxy: Proxy,
    items: PhantomData<fn(T) -> T>,
}

impl<T> List<T> {
    fn index(index: usize) -> Bytes {
        let mut body = Bytes::new();
        add_part(&mut body, &(index as u64).to_le_bytes());
        body
    }

    /// How many items there are.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn len(&self) -> Result<usize, ManagerError> {
        self.proxy.count(Data::LEN, Bytes::new())
    }

    /// Whether there are none.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool, ManagerError> {
        Ok(self.len()? == 0)
    }

    /// Drops all items.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn clear(&self) -> Result<(), ManagerError> {
        self.proxy.command(Data::CLEAR, Bytes::new())
    }

    /// Drops all items but the first `length`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn truncate(&self, length: usize) -> Result<(), ManagerError> {
        self.proxy.command(Data::TRUNCATE, Self::index(length))
    }

    /// Puts an item at the end. Python's `append`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "append")]
    #[track_caller]
    pub fn push(&self, item: &T) -> Result<(), ManagerError>
    where
        T: Serialize,
    {
        let body = self.proxy.add_last(Bytes::new(), item)?;
        self.proxy.command(Data::PUSH, body)
    }

    /// Puts many items at the end, in one step.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn extend<'a>(&self, items: impl IntoIterator<Item = &'a T>) -> Result<(), ManagerError>
    where
        T: Serialize + 'a,
    {
        let mut body = Bytes::new();
        for item in items {
            body = self.proxy.add(body, item)?;
        }
        self.proxy.command(Data::EXTEND, body)
    }

    /// Takes the last item; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn pop(&self) -> Result<Option<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        self.take(Data::POP, Bytes::new())
    }

    /// Takes the item at an index, to which those behind it move up; `None` when there is none. Python's `pop(i)`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn remove(&self, index: usize) -> Result<Option<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        self.take(Data::REMOVE, Self::index(index))
    }

    #[track_caller]
    fn take(&self, what: u8, body: Bytes) -> Result<Option<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        self.proxy.take(what, body, |mut taken| {
            taken.part();
            taken.value()
        })
    }

    /// Puts an item at an index; those from there on move back.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); [`ManagerError::Missing`] when the list is shorter.
    #[track_caller]
    pub fn insert(&self, index: usize, item: &T) -> Result<(), ManagerError>
    where
        T: Serialize,
    {
        let body = self.proxy.add_last(Self::index(index), item)?;
        self.proxy.command(Data::INSERT, body)
    }

    /// The item at an index, or `None`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn get(&self, index: usize) -> Result<Option<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        self.proxy.value(Data::GET, Self::index(index))
    }

    /// Puts an item in the place of the one at an index, which it returns.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); [`ManagerError::Missing`] when there is none.
    #[track_caller]
    pub fn set(&self, index: usize, item: &T) -> Result<T, ManagerError>
    where
        T: Serialize + DeserializeOwned,
    {
        let body = self.proxy.add_last(Self::index(index), item)?;
        let before = self.proxy.value(Data::SET, body)?;
        before.ok_or(ManagerError::Missing)
    }

    /// Exchanges two items.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); [`ManagerError::Missing`] when one of them is not there.
    #[track_caller]
    pub fn swap(&self, a: usize, b: usize) -> Result<(), ManagerError> {
        let mut body = Self::index(a);
        body.extend(Self::index(b));
        self.proxy.command(Data::SWAP, body)
    }

    /// All items.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn to_vec(&self) -> Result<Vec<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        self.range(..)
    }

    /// The items of a range, as far as it lies in the list. Python's slice.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "slice")]
    #[track_caller]
    pub fn range(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>, ManagerError>
    where
        T: DeserializeOwned,
    {
        let begin = match range.start_bound() {
            Bound::Included(begin) => *begin,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => usize::MAX,
        };
        let mut body = Self::index(begin);
        body.extend(Self::index(end));
        Ok(self.proxy.value(Data::RANGE, body)?.unwrap_or_default())
    }

    /// The index of the first item that is the same, which is: has the same encoding. Python's `index`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "index")]
    #[track_caller]
    pub fn position(&self, item: &T) -> Result<Option<usize>, ManagerError>
    where
        T: Serialize,
    {
        let body = self.proxy.add_last(Bytes::new(), item)?;
        match self.proxy.count(Data::FIND, body) {
            Ok(index) => Ok(Some(index)),
            Err(ManagerError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an item that is the same.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn contains(&self, item: &T) -> Result<bool, ManagerError>
    where
        T: Serialize,
    {
        Ok(self.position(item)?.is_some())
    }

    /// Has the manager run one of its [functions](super::Functions::value) on the item at an index; returns the
    /// function's own value.
    ///
    /// # Errors
    ///
    /// As for [`Dict::update`](super::Dict::update).
    #[track_caller]
    pub fn update<A, R>(
        &self,
        index: usize,
        function: &str,
        argument: &A,
    ) -> Result<R, ManagerError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.proxy
            .update(say::UPDATE, function, Self::index(index), argument)
    }

    /// Has the manager run one of its [functions](super::Functions::list) on the whole list: to sort it, say.
    ///
    /// # Errors
    ///
    /// As for [`Dict::update`](super::Dict::update).
    #[track_caller]
    pub fn update_all<A, R>(&self, function: &str, argument: &A) -> Result<R, ManagerError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let whole = Bytes::new();
        self.proxy
            .update(say::UPDATE_ALL, function, whole, argument)
    }
}

proxy_face!(List[T], items);
