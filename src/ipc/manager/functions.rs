//! Functions that a manager runs on its values, found by name and never by address.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::payload;
use crate::ipc::broker::{Bytes, Library, Outcome, Refusal, Subject, Work};
use crate::ipc::parcel::{Parcel, Reach, unpack_bytes};
use crate::task::Panic;

/// The functions by which clients of a [`Manager`](super::Manager) change values in one step, each with a name.
///
/// A function gets the value, which it may change, and an argument; what it returns goes to who asked for it. Nobody
/// sees a value that is half changed, and no two changes of one object meet. A function that panics has changed
/// nothing, and the panic is its caller's error.
///
/// They run in the manager's process, on threads on which they may take their time; meanwhile other objects are served,
/// and calls of this one wait. One that waits for a call of the very object that it changes waits for itself; one that
/// ends its process, by an abort, say, ends the manager.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{Functions, Manager};
///
/// fn arithmetic(functions: &mut Functions) {
///     functions.value("add", |n: &mut i64, by: i64| {
///         *n += by;
///         *n
///     });
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::start_with(arithmetic)?;
/// let counter = manager.value(&100_i64)?;
/// assert_eq!(counter.update::<_, i64>("add", &-1)?, 99);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Functions {
    works: HashMap<String, Arc<Work>>,
}

impl Functions {
    /// None yet.
    pub fn new() -> Self {
        Functions::default()
    }

    /// Names a function of one value: of a [`Value`](super::Value), of an entry's value in a [`Dict`](super::Dict) or a
    /// [`Namespace`](super::Namespace), of an item of a [`List`](super::List). A function that had the name has it no
    /// longer.
    pub fn value<T, A, R>(
        &mut self,
        name: impl Into<String>,
        f: impl Fn(&mut T, A) -> R + Send + Sync + 'static,
    ) -> &mut Self
    where
        T: Serialize + DeserializeOwned,
        A: DeserializeOwned,
        R: Serialize,
    {
        self.add(name, move |subject, argument, reach| {
            let Subject::Value(value) = subject else {
                return Err(Refusal::Unfit);
            };
            let mut value: T = decode(&value)?;
            let result = f(&mut value, decode(argument)?);
            Ok((
                Subject::Value(encode(reach, &value)?),
                encode(reach, &result)?,
            ))
        })
    }

    /// Names a function of a whole [`Dict`](super::Dict), which is decoded and encoded for it: see
    /// [`Dict::update_all`](super::Dict::update_all).
    pub fn dict<K, V, A, R>(
        &mut self,
        name: impl Into<String>,
        f: impl Fn(&mut HashMap<K, V>, A) -> R + Send + Sync + 'static,
    ) -> &mut Self
    where
        K: Serialize + DeserializeOwned + Eq + Hash,
        V: Serialize + DeserializeOwned,
        A: DeserializeOwned,
        R: Serialize,
    {
        self.add(name, move |subject, argument, reach| {
            let Subject::Entries(entries) = subject else {
                return Err(Refusal::Unfit);
            };
            let before: Vec<Bytes> = entries.iter().map(|(key, _)| key.clone()).collect();
            let decoded = entries
                .iter()
                .map(|(key, value)| Ok((decode(key)?, decode(value)?)));
            let mut dict: HashMap<K, V> = decoded.collect::<Result<_, Refusal>>()?;
            let result = f(&mut dict, decode(argument)?);
            let encoded = dict
                .iter()
                .map(|(key, value)| Ok((encode(reach, key)?, encode(reach, value)?)));
            let mut after: HashMap<Bytes, Bytes> = encoded.collect::<Result<_, Refusal>>()?;
            // Those that stay stay in their order.
            let stay = before
                .into_iter()
                .filter_map(|key| after.remove_entry(&key));
            let mut entries: Vec<(Bytes, Bytes)> = stay.collect();
            entries.extend(after);
            Ok((Subject::Entries(entries), encode(reach, &result)?))
        })
    }

    /// Names a function of a whole [`List`](super::List), which is decoded and encoded for it: see
    /// [`List::update_all`](super::List::update_all).
    pub fn list<T, A, R>(
        &mut self,
        name: impl Into<String>,
        f: impl Fn(&mut Vec<T>, A) -> R + Send + Sync + 'static,
    ) -> &mut Self
    where
        T: Serialize + DeserializeOwned,
        A: DeserializeOwned,
        R: Serialize,
    {
        self.add(name, move |subject, argument, reach| {
            let Subject::Items(items) = subject else {
                return Err(Refusal::Unfit);
            };
            let decoded = items.iter().map(|item| decode(item));
            let mut list: Vec<T> = decoded.collect::<Result<_, Refusal>>()?;
            let result = f(&mut list, decode(argument)?);
            let items = list.iter().map(|item| encode(reach, item));
            let items = items.collect::<Result<_, Refusal>>()?;
            Ok((Subject::Items(items), encode(reach, &result)?))
        })
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        work: impl Fn(Subject, &[u8], Reach) -> Outcome + Send + Sync + 'static,
    ) -> &mut Self {
        // All of the user's code is inside: decoding, the function, encoding, destructors.
        let work = move |subject: Subject, argument: &[u8], reach: Reach| {
            let attempt = AssertUnwindSafe(|| work(subject, argument, reach));
            catch_unwind(attempt).unwrap_or_else(|panic| {
                let panic = Panic::new(panic);
                let message = panic.message();
                payload::discard(panic.into_payload());
                Err(Refusal::Panicked(message))
            })
        };
        self.works.insert(name.into(), Arc::new(work));
        self
    }

    pub(super) fn into_library(self, reach: Reach) -> Library {
        Library {
            works: self.works,
            reach,
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    unpack_bytes(bytes).map_err(Refusal::Codec)
}

fn encode<T: Serialize>(reach: Reach, value: &T) -> Result<Bytes, Refusal> {
    let parcel = Parcel::pack_for(reach, Vec::new(), value);
    parcel.map(|parcel| parcel.bytes).map_err(Refusal::Codec)
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.works.keys()).finish()
    }
}
