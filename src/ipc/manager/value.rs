//! Single values, and values with names, that a manager serves.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ipc::broker::{Bytes, DictData as Data, add_part, say};

use super::error::ManagerError;
use super::proxy::{Proxy, proxy_face};

/// A value in a [`Manager`](super::Manager): Python's `Manager().Value(...)`, of any type.
///
/// Waits, limits and cancellation are as for a [`Dict`](super::Dict). For plain data between a process and its children
/// [`SharedValue`](crate::ipc::SharedValue) is faster.
///
/// # Errors
///
/// Of all methods: [`ManagerError`]: the manager is gone, the time is over, or a value is of another type.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = greenloom::ipc::Manager::start()?;
/// let title = manager.value(&"draft".to_owned())?;
/// assert_eq!(title.replace(&"final".to_owned())?, "draft");
/// assert_eq!(title.get()?, "final");
/// # Ok(())
/// # }
/// ```
pub struct Value<T> {
    proxy: Proxy,
    inside: PhantomData<fn(T) -> T>,
}

impl<T> Value<T> {
    /// The key of the one entry of a dict.
    fn key() -> Bytes {
        let mut body = Bytes::new();
        add_part(&mut body, &[]);
        body
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn get(&self) -> Result<T, ManagerError>
    where
        T: DeserializeOwned,
    {
        let value = self.proxy.value(Data::GET, Self::key())?;
        value.ok_or(ManagerError::Missing)
    }

    /// Puts another value in its place.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn set(&self, value: &T) -> Result<(), ManagerError>
    where
        T: Serialize,
    {
        let body = self.proxy.add_last(Self::key(), value)?;
        match self.proxy.call(Data::INSERT, body)? {
            answer if matches!(answer.what, say::VALUE | say::NONE) => Ok(()),
            answer => Err(ManagerError::of(answer)),
        }
    }

    /// Puts another value in its place, and returns the one before.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors); when the one before is of another type, the new one is there all the same.
    #[track_caller]
    pub fn replace(&self, value: &T) -> Result<T, ManagerError>
    where
        T: Serialize + DeserializeOwned,
    {
        let body = self.proxy.add_last(Self::key(), value)?;
        let before = self.proxy.value(Data::INSERT, body)?;
        before.ok_or(ManagerError::Missing)
    }

    /// Puts `new` in the place of `current`, if that is the value; whether it was. They are the same when their
    /// encodings are.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn compare_exchange(&self, current: &T, new: &T) -> Result<bool, ManagerError>
    where
        T: Serialize,
    {
        let body = self.proxy.add(Self::key(), &Some(current))?;
        let body = self.proxy.add_last(body, &Some(new))?;
        self.proxy.ask(Data::EXCHANGE, body)
    }

    /// Has the manager run one of its [functions](super::Functions::value) on the value; returns the function's own.
    ///
    /// # Errors
    ///
    /// As for [`Dict::update`](super::Dict::update).
    #[track_caller]
    pub fn update<A, R>(&self, function: &str, argument: &A) -> Result<R, ManagerError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.proxy
            .update(say::UPDATE, function, Self::key(), argument)
    }
}

proxy_face!(Value[T], inside);

/// Values with names, each of its own type, in a [`Manager`](super::Manager): Python's `Manager().Namespace()`.
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
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = greenloom::ipc::Manager::start()?.namespace()?;
/// settings.set("limit", &10_u32)?;
/// settings.set("title", "all of it")?;
/// assert_eq!(settings.get::<u32>("limit")?, Some(10));
/// assert!(settings.get::<(String, String)>("limit").is_err(), "it is another type");
/// assert_eq!(settings.names()?, ["limit", "title"]);
/// # Ok(())
/// # }
/// ```
pub struct Namespace {
    proxy: Proxy,
    inside: PhantomData<()>,
}

impl Namespace {
    fn key(&self, name: &str) -> Result<Bytes, ManagerError> {
        Ok(self.proxy.add(Bytes::new(), name)?)
    }

    /// The value of that name, or `None`.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ManagerError> {
        self.proxy.value(Data::GET, self.key(name)?)
    }

    /// Gives a value to a name. The one before goes, whatever its type.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), ManagerError> {
        let body = self.proxy.add_last(self.key(name)?, value)?;
        match self.proxy.call(Data::INSERT, body)? {
            answer if matches!(answer.what, say::VALUE | say::NONE) => Ok(()),
            answer => Err(ManagerError::of(answer)),
        }
    }

    /// Takes the value of that name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn remove<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ManagerError> {
        self.proxy.take(Data::REMOVE, self.key(name)?, |mut taken| {
            taken.part();
            taken.part();
            taken.value()
        })
    }

    /// Whether the name has a value.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn contains(&self, name: &str) -> Result<bool, ManagerError> {
        self.proxy.ask(Data::CONTAINS, self.key(name)?)
    }

    /// All names that have values, in the order in which they came.
    ///
    /// # Errors
    ///
    /// As for [all](Self#errors).
    #[track_caller]
    pub fn names(&self) -> Result<Vec<String>, ManagerError> {
        let names = self.proxy.value(Data::KEYS, Bytes::new())?;
        Ok(names.unwrap_or_default())
    }

    /// Has the manager run one of its [functions](super::Functions::value) on the value of that name; returns the
    /// function's own.
    ///
    /// # Errors
    ///
    /// As for [`Dict::update`](super::Dict::update).
    #[track_caller]
    pub fn update<A, R>(&self, name: &str, function: &str, argument: &A) -> Result<R, ManagerError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.proxy
            .update(say::UPDATE, function, self.key(name)?, argument)
    }
}

proxy_face!(Namespace[], inside);
