//! Dicts that a manager serves.

use std::borrow::Borrow;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::broker::{Bytes, DictData as Data, say};
use crate::ipc::parcel::unpack_bytes;

use super::error::ManagerError;
use super::proxy::{Proxy, proxy_face};

/// A dict in a [`Manager`](super::Manager): Python's `Manager().dict()`, with the methods of a
/// [`HashMap`](std::collections::HashMap) that still mean something when others use it at the same time.
///
/// What this refers to is in the manager's process; clones, here or in other processes, refer to the same. Each method
/// is one step, which nobody sees half done. Two are two: who reads a value and then writes what comes of it loses what
/// others have written in between, unless it is under a lock, by [`compare_exchange`](Self::compare_exchange), or by a
/// function that the manager runs, [`update`](Self::update).
///
/// Keys and values are what serde knows, other objects of a manager among them. Two keys are the same when their
/// encodings are. Entries are in the order in which their keys came.
///
/// Each method waits for the manager's answer, however long that takes, unless
/// [`with_timeout`](Self::with_timeout) says otherwise; the wait is `ipc.recv` or `sync.event`. A call that is cancelled
/// while it waits may have changed the dict or not; what it should have taken is still there.
///
/// # Errors
///
/// Of all methods: [`ManagerError`]: the manager is gone, the time is over, or a value is of another type.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{Dict, Manager};
/// use greenloom::process::Process;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::start()?;
/// let stock: Dict<String, u32> = manager.dict()?;
/// stock.insert("apples", &3)?;
/// let child = Process::spawn(|stock: Dict<String, u32>| { stock.insert("pears", &5).unwrap(); }, stock.clone())?;
/// child.join()?;
/// assert_eq!(stock.items()?, [("apples".to_owned(), 3), ("pears".to_owned(), 5)]);
/// # Ok(())
/// # }
/// ```
pub struct Dict<K, V> {
    proxy: Proxy,
    entries: PhantomData<fn(K) -> V>,
}

impl<K, V> Dict<K, V> {
    /// How many entries there are.
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

    /// Drops all entries.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn clear(&self) -> Result<(), ManagerError> {
        self.proxy.command(Data::CLEAR, Bytes::new())
    }

    /// All keys.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn keys(&self) -> Result<Vec<K>, ManagerError>
    where
        K: DeserializeOwned,
    {
        self.all(Data::KEYS)
    }

    /// All values.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn values(&self) -> Result<Vec<V>, ManagerError>
    where
        V: DeserializeOwned,
    {
        self.all(Data::VALUES)
    }

    /// All entries. Collect them for a [`HashMap`](std::collections::HashMap).
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn items(&self) -> Result<Vec<(K, V)>, ManagerError>
    where
        K: DeserializeOwned,
        V: DeserializeOwned,
    {
        self.all(Data::ITEMS)
    }

    #[track_caller]
    fn all<T: DeserializeOwned>(&self, what: u8) -> Result<Vec<T>, ManagerError> {
        Ok(self.proxy.value(what, Bytes::new())?.unwrap_or_default())
    }

    /// Takes the entry whose key came last; `None` when there is none. Python's `popitem`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "popitem")]
    #[track_caller]
    pub fn pop_last(&self) -> Result<Option<(K, V)>, ManagerError>
    where
        K: DeserializeOwned,
        V: DeserializeOwned,
    {
        self.proxy.take(Data::POP, Bytes::new(), |mut taken| {
            taken.part();
            let key = unpack_bytes(taken.part())?;
            Ok((key, taken.value()?))
        })
    }

    fn key<Q>(&self, key: &Q) -> Result<Bytes, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        Ok(self.proxy.add(Bytes::new(), key)?)
    }

    /// The value at a key, or `None`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn get<Q>(&self, key: &Q) -> Result<Option<V>, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: DeserializeOwned,
    {
        self.proxy.value(Data::GET, self.key(key)?)
    }

    /// Puts a value at a key; returns the one that was there.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); when the one before is of another type, the new one is there all the same.
    #[track_caller]
    pub fn insert<Q>(&self, key: &Q, value: &V) -> Result<Option<V>, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: Serialize + DeserializeOwned,
    {
        let body = self.proxy.add_last(self.key(key)?, value)?;
        self.proxy.value(Data::INSERT, body)
    }

    /// The value at a key, at which this one is put if there is none. Python's `setdefault`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "setdefault")]
    #[track_caller]
    pub fn get_or_insert<Q>(&self, key: &Q, value: &V) -> Result<V, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: Serialize + DeserializeOwned,
    {
        let body = self.proxy.add_last(self.key(key)?, value)?;
        let value = self.proxy.value(Data::GET_OR, body)?;
        value.ok_or(ManagerError::Missing)
    }

    /// Takes the value at a key; `None` when there is none. Python's `pop`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[doc(alias = "pop")]
    #[track_caller]
    pub fn remove<Q>(&self, key: &Q) -> Result<Option<V>, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: DeserializeOwned,
    {
        self.proxy.take(Data::REMOVE, self.key(key)?, |mut taken| {
            taken.part();
            taken.part();
            taken.value()
        })
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn contains_key<Q>(&self, key: &Q) -> Result<bool, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.ask(Data::CONTAINS, self.key(key)?)
    }

    /// Puts `new` in the place of `current`, if that is what is there; whether it was. `None` is no entry. Values are
    /// the same when their encodings are.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let seats = greenloom::ipc::Manager::start()?.dict::<u32, String>()?;
    /// let ann = "Ann".to_owned();
    /// assert!(seats.compare_exchange(&7, None, Some(&ann))?);
    /// assert!(!seats.compare_exchange(&7, None, Some(&"Bob".to_owned()))?, "it is taken");
    /// assert!(seats.compare_exchange(&7, Some(&ann), None)?);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn compare_exchange<Q>(
        &self,
        key: &Q,
        current: Option<&V>,
        new: Option<&V>,
    ) -> Result<bool, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: Serialize,
    {
        // An option is encoded as the byte that the dict expects, and the value.
        let body = self.proxy.add(self.key(key)?, &current)?;
        self.proxy
            .ask(Data::EXCHANGE, self.proxy.add_last(body, &new)?)
    }

    /// Has the manager run one of its [functions](super::Functions::value) on the value at a key; returns the
    /// function's own value.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); [`ManagerError::Missing`] when there is no such key; [`ManagerError::Panicked`],
    /// [`NoFunction`](ManagerError::NoFunction), [`UnfitFunction`](ManagerError::UnfitFunction). Nothing is changed
    /// then.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits. The function runs to its end, but has changed nothing.
    #[track_caller]
    pub fn update<Q, A, R>(&self, key: &Q, function: &str, argument: &A) -> Result<R, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.proxy
            .update(say::UPDATE, function, self.key(key)?, argument)
    }

    /// As [`update`](Self::update), beginning with `initial` where there is no such key.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn update_or<Q, A, R>(
        &self,
        key: &Q,
        initial: &V,
        function: &str,
        argument: &A,
    ) -> Result<R, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
        V: Serialize,
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let target = self.proxy.add(self.key(key)?, initial)?;
        self.proxy
            .update(say::UPDATE_OR, function, target, argument)
    }

    /// Has the manager run one of its [functions](super::Functions::dict) on the whole dict: what changes several
    /// entries at once.
    ///
    /// # Errors
    ///
    /// As for [`update`](Self::update).
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

    /// Inserts many entries in one step. Python's `update`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn extend<'a, Q>(
        &self,
        entries: impl IntoIterator<Item = (&'a Q, &'a V)>,
    ) -> Result<(), ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized + 'a,
        V: Serialize + 'a,
    {
        let mut body = Bytes::new();
        for (key, value) in entries {
            body = self.proxy.add(body, key)?;
            body = self.proxy.add(body, value)?;
        }
        self.proxy.command(Data::EXTEND, body)
    }
}

proxy_face!(Dict[K, V], entries);
