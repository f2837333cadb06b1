//! A manager, as its clients have it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ipc::address::Address;
use crate::ipc::broker::{Bytes, Handle, Link, PATIENCE};
use crate::ipc::event::{Barrier, Event};
use crate::ipc::handshake::Key;
use crate::ipc::lock::{Condition, Lock, RLock};
use crate::ipc::queue::JoinableQueue;
use crate::ipc::semaphore::{BoundedSemaphore, Semaphore};

use super::dict::Dict;
use super::error::ManagerError;
use super::list::List;
use super::protocol::{self, Kind, Open};
use super::proxy::Proxy;
use super::value::{Namespace, Value};

/// Values, queues and locks in a process that serves them: Python's `multiprocessing.Manager`.
///
/// [`start`](Self::start) begins such a process, a daemon of this one; [`connect`](Self::connect) goes to one that
/// [`ManagerServer`](super::ManagerServer) serves somewhere, in a process that need not be related to this one. What is
/// asked for here is made there. The locks, queues and events are those of [`ipc`](crate::ipc), with the same methods,
/// waits and limits, and served elsewhere; [`Dict`], [`List`], [`Value`] and [`Namespace`] are a manager's own.
///
/// All of them, and this, are references: a clone is the same one, and so is what another process gets, in the argument
/// of its function, through a pipe or a queue, or out of another object of the manager. A process has one connection to
/// a manager, whatever it uses.
///
/// * When the manager ends, however it does, all calls that wait and that come are errors, in every process.
/// * When a client ends, what it held, locks and permits, is free; the next one to have the lock is told.
/// * Objects stay until the manager ends, or, those with a [name](Self::named), until they are [removed](Self::remove).
/// * A manager that was started ends with the process that started it, and before that with the last handle there, be it
///   this or one of an object.
/// * One that is alive and silent, stopped by a signal, say, is waited for; a call with a time limit is given up some
///   seconds after it, and the connection with it.
///
/// A message is at most a gigabyte. Over a network nothing is encrypted, and neither descriptors nor keys cross: a handle
/// that is read from an object there is for processes that are connected to its manager themselves.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{Dict, Lock, Manager};
/// use greenloom::process::Process;
///
/// fn buy((stock, lock): (Dict<String, u32>, Lock)) {
///     let _guard = lock.acquire().unwrap();
///     let left = stock.get("apples").unwrap().unwrap();
///     stock.insert("apples", &(left - 1)).unwrap();
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::start()?;
/// let (stock, lock) = (manager.dict()?, manager.lock()?);
/// stock.insert("apples", &10)?;
/// let buyers = [(); 3].map(|()| Process::spawn(buy, (stock.clone(), lock.clone())));
/// for buyer in buyers {
///     buyer?.join()?;
/// }
/// assert_eq!(stock.get("apples")?, Some(7));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manager {
    /// Of the manager itself, its object 0.
    proxy: Proxy,
}

/// The objects of a [`Manager`] that are found by a name: each method finds the object, or makes it.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = greenloom::ipc::Manager::start()?;
/// let mine = manager.named("scores").list::<u32>()?;
/// let yours = manager.named("scores").list::<u32>()?;
/// mine.push(&7)?;
/// assert_eq!(yours.get(0)?, Some(7));
/// assert!(manager.named("scores").lock().is_err(), "it is a list");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    manager: &'a Manager,
    name: &'a str,
}

/// The methods of both, the one without a name and the one with.
macro_rules! objects {
    ($($(#[$doc:meta])* $method:ident $(<$($t:ident),+>)? ($($arg:ident: $type:ty),*) -> $object:ty = $kind:expr;)*) => {
        impl Manager {
            $(
                $(#[$doc])*
                ///
                /// A new one, which is reached by what this returns and its copies.
                ///
                /// # Errors
                ///
                /// [`ManagerError`].
                #[track_caller]
                pub fn $method $(<$($t),+>)? (&self, $($arg: $type),*) -> Result<$object, ManagerError> {
                    self.open($kind, None, Bytes::new()).map(<$object>::from_manager)
                }
            )*
        }

        impl Named<'_> {
            $(
                $(#[$doc])*
                ///
                /// The one of this name. If there is none it is made; if there is, its size is what it was made with.
                ///
                /// # Errors
                ///
                /// [`ManagerError`], [`OtherKind`](ManagerError::OtherKind) if the name is taken by something else.
                #[track_caller]
                pub fn $method $(<$($t),+>)? (&self, $($arg: $type),*) -> Result<$object, ManagerError> {
                    let opened = self.manager.open($kind, Some(self.name), Bytes::new());
                    opened.map(<$object>::from_manager)
                }
            )*
        }
    };
}

objects! {
    /// A dict.
    dict<K, V>() -> Dict<K, V> = Kind::Dict;
    /// A list.
    list<T>() -> List<T> = Kind::List;
    /// Values with names.
    namespace() -> Namespace = Kind::Namespace;
    /// A queue that takes whatever is put, and keeps account of what is done.
    queue<T>() -> JoinableQueue<T> = Kind::Queue { capacity: u64::MAX };
    /// A queue with room for so many items: Python's `Queue(maxsize)`. For none is
    /// [`Refused`](ManagerError::Refused).
    bounded_queue<T>(capacity: usize) -> JoinableQueue<T> = Kind::Queue { capacity: capacity as u64 };
    /// A lock.
    lock() -> Lock = Kind::Lock;
    /// A lock that its holder may acquire again.
    rlock() -> RLock = Kind::RLock;
    /// A lock under which one waits to be notified.
    condition() -> Condition = Kind::Condition;
    /// An event, not set.
    event() -> Event = Kind::Event;
    /// A semaphore with so many permits.
    semaphore(permits: u64) -> Semaphore = Kind::Semaphore { permits };
    /// A semaphore that never has more than these permits.
    bounded_semaphore(permits: u64) -> BoundedSemaphore = Kind::BoundedSemaphore { permits };
}

impl Manager {
    /// Connects to the manager that a [`ManagerServer`](super::ManagerServer) serves at `address`, by the key that both
    /// know. If this process is connected to it already, that connection is used.
    ///
    /// # Errors
    ///
    /// What the system says of the address; `PermissionDenied` when the key is another; `InvalidData` when something
    /// else listens there; `TimedOut` after ten seconds of silence; `InvalidInput` for an empty key.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits.
    ///
    /// # Parks
    ///
    /// While it connects (`net.connect`, `net.connect_unix`) and until the manager has answered (`ipc.recv`).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::ipc::{Manager, ManagerServer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    /// let server = ManagerServer::bind(here, b"a key that is hard to guess")?;
    /// let manager = Manager::connect(server.address(), b"a key that is hard to guess")?;
    /// let count = manager.named("count").value(&1_u32)?;
    /// assert_eq!(count.get()?, 1);
    /// assert!(Manager::connect(server.address(), b"a guess").is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn connect(address: impl Into<Address>, key: impl AsRef<[u8]>) -> io::Result<Manager> {
        Manager::connect_timeout(address, key, PATIENCE)
    }

    /// As [`connect`](Self::connect), within another time.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn connect_timeout(
        address: impl Into<Address>,
        key: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> io::Result<Manager> {
        let key = Key::new(key.as_ref())?;
        Link::connect(&address.into(), &key, timeout).map(Manager::over)
    }

    pub(super) fn over(link: Arc<Link>) -> Manager {
        Manager {
            proxy: Proxy::new(Handle::managed(link, 0)),
        }
    }

    /// The same manager, by calls that take no longer than this: then they are [`ManagerError::TimedOut`]. What is made
    /// or found by them has no limits of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = greenloom::ipc::Manager::start()?.with_timeout(Duration::from_secs(5));
    /// let list = manager.list::<u32>()?.with_timeout(Duration::from_secs(1));
    /// list.push(&1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_timeout(&self, timeout: Duration) -> Manager {
        Manager {
            proxy: self.proxy.with_timeout(timeout),
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        match self.proxy.handle().link() {
            Some(link) => link,
            None => unreachable!("a manager's handle is a managed one"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        self.link().address()
    }

    /// Whether it is known to be gone. One that is not known to be may be gone all the same.
    pub fn is_gone(&self) -> bool {
        self.link().is_gone()
    }

    /// The id of its process, in the process that [started](Self::start) it.
    pub fn process_id(&self) -> Option<u32> {
        self.link().keeper().map(|keeper| keeper.id())
    }

    /// Ends the manager that this process has [started](Self::start), with all that is in it, and waits until it has
    /// ended. It also ends with the last handle.
    ///
    /// # Errors
    ///
    /// `Unsupported` in other processes, and for one that was connected to.
    ///
    /// # Parks
    ///
    /// Until it has ended (`sync.event`).
    #[track_caller]
    pub fn shutdown(&self) -> io::Result<()> {
        match self.link().keeper() {
            Some(keeper) => {
                keeper.end();
                Ok(())
            }
            None => {
                let text = "a manager is ended by the process that started it";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }

    /// Its objects by this name.
    pub fn named<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named {
            manager: self,
            name,
        }
    }

    /// The names that objects have, and what they are, such as `dict`; in no order.
    ///
    /// # Errors
    ///
    /// [`ManagerError`].
    #[track_caller]
    pub fn names(&self) -> Result<Vec<(String, String)>, ManagerError> {
        let names = self.proxy.value(protocol::NAMES, Bytes::new())?;
        Ok(names.unwrap_or_default())
    }

    /// Removes the object of that name, whoever uses it: their calls, also those that wait, are errors from now on, and
    /// the name is free. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`ManagerError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = greenloom::ipc::Manager::start()?;
    /// let old = manager.named("jobs").queue::<u32>()?;
    /// assert!(manager.remove("jobs")?);
    /// assert!(old.put(&1).is_err());
    /// assert!(manager.named("jobs").queue::<u32>()?.is_empty()?);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn remove(&self, name: &str) -> Result<bool, ManagerError> {
        self.proxy.ask(protocol::REMOVE, name.as_bytes().to_vec())
    }

    /// A value.
    ///
    /// A new one, which is reached by what this returns and its copies.
    ///
    /// # Errors
    ///
    /// [`ManagerError`].
    #[track_caller]
    pub fn value<T: Serialize>(&self, initial: &T) -> Result<Value<T>, ManagerError> {
        let initial = self.pack(initial)?;
        self.open(Kind::Value, None, initial)
            .map(Value::from_manager)
    }

    /// A place where so many parties wait for one another.
    ///
    /// A new one, which is reached by what this returns and its copies.
    ///
    /// # Errors
    ///
    /// [`ManagerError`].
    #[track_caller]
    pub fn barrier(&self, parties: usize) -> Result<Barrier, ManagerError> {
        let kind = Kind::Barrier {
            parties: parties as u64,
        };
        let opened = self.open(kind, None, Bytes::new());
        opened.map(|handle| Barrier::from_manager(handle, parties))
    }

    fn pack<T: Serialize>(&self, value: &T) -> Result<Bytes, ManagerError> {
        Ok(self.proxy.add_last(Bytes::new(), value)?)
    }

    /// A handle of an object.
    #[track_caller]
    fn open(&self, kind: Kind, name: Option<&str>, initial: Bytes) -> Result<Handle, ManagerError> {
        let open = Open {
            kind,
            name: name.map(str::to_owned),
        };
        let mut body = self.proxy.add(Bytes::new(), &open)?;
        body.extend(initial);
        let answer = self.proxy.call(protocol::OPEN, body)?;
        match answer.what {
            protocol::OPENED => {
                // Numbers of objects are no longer than this.
                let number = answer.as_number() as u32;
                Ok(Handle::managed(self.link().clone(), number))
            }
            protocol::OTHER => Err(ManagerError::OtherKind {
                name: name.unwrap_or_default().to_owned(),
                is: String::from_utf8_lossy(&answer.parcel.bytes).into_owned(),
            }),
            _ => Err(ManagerError::of(answer)),
        }
    }
}

impl Named<'_> {
    /// A value.
    ///
    /// The one of this name. If there is none it is made with `initial`.
    ///
    /// # Errors
    ///
    /// [`ManagerError`], [`OtherKind`](ManagerError::OtherKind) if the name is taken by something else.
    #[track_caller]
    pub fn value<T: Serialize>(&self, initial: &T) -> Result<Value<T>, ManagerError> {
        let initial = self.manager.pack(initial)?;
        let opened = self.manager.open(Kind::Value, Some(self.name), initial);
        opened.map(Value::from_manager)
    }

    /// A place where so many parties wait for one another.
    ///
    /// The one of this name. If there is none it is made; all have to say the same number of parties.
    ///
    /// # Errors
    ///
    /// [`ManagerError`], [`OtherKind`](ManagerError::OtherKind) if the name is taken by something else.
    #[track_caller]
    pub fn barrier(&self, parties: usize) -> Result<Barrier, ManagerError> {
        let kind = Kind::Barrier {
            parties: parties as u64,
        };
        let opened = self.manager.open(kind, Some(self.name), Bytes::new());
        opened.map(|handle| Barrier::from_manager(handle, parties))
    }
}
