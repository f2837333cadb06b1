//! A manager as its clients see it: one connection of this process for all of its objects, and how those cross.
//!
//! A handle of a managed object says which manager, which object, where the manager listens, and its key. So it can be
//! sent, kept, copied and read as often as one likes: whoever gets it uses the connection that his process has to that
//! manager, or makes one at the first call. The key goes along only where no network can see it; who gets a handle
//! without one must have connected by himself.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::io::Limit;
use crate::ipc::address::Address;
use crate::ipc::handshake::{self, Key, ServerId};
use crate::ipc::link::Wire;
use crate::ipc::parcel::{self, Reach};
use crate::runtime::Outside;
use crate::scheduler::park;
use crate::sync::{LockTimeoutError, Mutex as WaitMutex};

use super::client::Gone;
use super::connection::Connection;

/// A manager that is silent for so long is given up: while it is connected to, and after it was told that a waiter
/// waits no longer. It may be stopped, or its machine unplugged.
pub(in crate::ipc) const PATIENCE: Duration = Duration::from_secs(10);

/// The relation of this process to a manager.
pub(in crate::ipc) struct Link {
    server: ServerId,
    address: Address,
    key: Option<Key>,
    /// Set once; it may be gone by now, and then all of its handles are for ever.
    connection: OnceLock<Arc<Connection>>,
    /// Held by who connects.
    connecting: WaitMutex<()>,
    /// What this process knows of objects by itself, whichever handle it is asked of.
    known: Mutex<HashMap<u32, Weak<dyn Any + Send + Sync>>>,
    /// What ends the manager, in the process that started it: when the last handle there is gone.
    keeper: OnceLock<Box<dyn Keeper>>,
}

/// Whoever has started a manager.
pub(in crate::ipc) trait Keeper: Send + Sync {
    /// Of the manager's process.
    fn id(&self) -> u32;

    /// Ends the manager, and waits until it has.
    fn end(&self);
}

/// What is said of an object to another process.
#[derive(Serialize, Deserialize)]
pub(super) struct Pass {
    server: ServerId,
    pub(super) object: u32,
    address: Address,
    key: Option<Vec<u8>>,
}

/// The managers that this process knows, while it has handles of theirs.
static KNOWN: Mutex<Option<HashMap<ServerId, Weak<Link>>>> = Mutex::new(None);

type Known = Option<HashMap<ServerId, Weak<Link>>>;

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that is not known to be gone.
fn find(known: &Known, server: &ServerId) -> Option<Arc<Link>> {
    let link = known.as_ref()?.get(server)?.upgrade()?;
    (!link.is_gone()).then_some(link)
}

fn enlist(known: &mut Known, link: &Arc<Link>) {
    let known = known.get_or_insert_default();
    known.retain(|_, link| link.strong_count() > 0);
    known.insert(link.server, Arc::downgrade(link));
}

impl Link {
    fn new(server: ServerId, address: Address, key: Option<Key>) -> Link {
        Link {
            server,
            address,
            key,
            connection: OnceLock::new(),
            connecting: WaitMutex::new(()),
            known: Mutex::default(),
            keeper: OnceLock::new(),
        }
    }

    /// Connects, or finds that this process is connected already.
    ///
    /// # Errors
    /// What connecting and the handshake come to.
    #[track_caller]
    pub(in crate::ipc) fn connect(
        address: &Address,
        key: &Key,
        timeout: Duration,
    ) -> io::Result<Arc<Link>> {
        let (server, connection) = dial(address, key, timeout)?;
        let mut known = known();
        if let Some(link) = find(&known, &server)
            && link.connection.get().is_some()
        {
            drop(known);
            return Ok(link);
        }
        let link = Arc::new(Link::new(server, address.clone(), Some(key.clone())));
        let _ = link.connection.set(connection);
        enlist(&mut known, &link);
        Ok(link)
    }

    /// With a connection that was made otherwise.
    pub(in crate::ipc) fn over(
        wire: Wire,
        server: ServerId,
        address: Address,
        key: Key,
    ) -> Arc<Link> {
        let link = Arc::new(Link::new(server, address, Some(key)));
        let connection = Connection::new(wire, Some(PATIENCE), None);
        let _ = link.connection.set(Arc::new(connection));
        enlist(&mut known(), &link);
        link
    }

    /// For a handle that has come from another process.
    ///
    /// # Errors
    /// When it came without a key, and this process is not connected.
    pub(super) fn received(pass: Pass) -> Result<Arc<Link>, &'static str> {
        let mut known = known();
        if let Some(link) = find(&known, &pass.server) {
            return Ok(link);
        }
        let key = pass.key.and_then(|key| Key::new(&key).ok());
        let Some(key) = key else {
            return Err(
                "it belongs to a manager that this process is not connected to, and came without its key",
            );
        };
        let link = Arc::new(Link::new(pass.server, pass.address, Some(key)));
        enlist(&mut known, &link);
        Ok(link)
    }

    /// What is to be said of an object while a value is encoded.
    ///
    /// # Errors
    /// When it is not we who encode it: then nothing is known of where it goes.
    pub(super) fn pass(&self, object: u32) -> Result<Pass, &'static str> {
        let key = match parcel::reach() {
            None => {
                return Err(
                    "it belongs to a manager, whose key only greenloom's own processes and pipes pass on",
                );
            }
            Some(Reach::Network) => None,
            Some(_) => self.key.as_ref().map(|key| key.as_bytes().to_vec()),
        };
        Ok(Pass {
            server: self.server,
            object,
            address: self.address.clone(),
            key,
        })
    }

    /// What this process knows of an object, the same for all of its handles; it lasts as long as it is held.
    pub(super) fn known_of<T: Default + Send + Sync + 'static>(&self, object: u32) -> Arc<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&object).and_then(Weak::upgrade);
        if let Some(before) = before.and_then(|before| before.downcast().ok()) {
            return before;
        }
        let new = Arc::new(T::default());
        let weak: Weak<dyn Any + Send + Sync> = Arc::<T>::downgrade(&new);
        known.retain(|_, known| known.strong_count() > 0);
        known.insert(object, weak);
        new
    }

    pub(in crate::ipc) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether what goes to it may leave the machine.
    pub(in crate::ipc) fn is_remote(&self) -> bool {
        self.address.is_network()
    }

    /// Whether the manager is known to be gone.
    pub(in crate::ipc) fn is_gone(&self) -> bool {
        self.connection
            .get()
            .is_some_and(|connection| connection.is_gone())
    }

    /// Has this process end the manager with its last handle, or before.
    pub(in crate::ipc) fn keep(&self, keeper: Box<dyn Keeper>) {
        let _ = self.keeper.set(keeper);
    }

    pub(in crate::ipc) fn keeper(&self) -> Option<&dyn Keeper> {
        self.keeper.get().map(|keeper| &**keeper)
    }

    /// The connection of this process, made now if there was none; `None` when the time is over first.
    ///
    /// # Errors
    /// When the manager cannot be reached, or is another one now.
    #[track_caller]
    pub(super) fn connection(&self, limit: Limit) -> Result<Option<&Arc<Connection>>, Gone> {
        if let Some(connection) = self.connection.get() {
            return Ok(Some(connection));
        }
        let deadline = limit.deadline();
        let left = || deadline.remaining(park::now()).unwrap_or(Duration::MAX);
        let turn = match self.connecting.lock_timeout(left()) {
            Ok(turn) => turn,
            Err(LockTimeoutError::Poisoned(error)) => error.into_inner(),
            Err(_) => return Ok(None),
        };
        if let Some(connection) = self.connection.get() {
            return Ok(Some(connection));
        }
        let Some(key) = &self.key else {
            return Err(Gone);
        };
        match dial(&self.address, key, left().min(PATIENCE)) {
            Ok((server, connection)) if server == self.server => {
                drop(turn);
                Ok(Some(self.connection.get_or_init(|| connection)))
            }
            // Another manager listens there by now.
            Ok(_) => Err(Gone),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && left() < PATIENCE => Ok(None),
            Err(error) => {
                log::debug!("a manager cannot be reached: {error}");
                Err(Gone)
            }
        }
    }
}

#[track_caller]
fn dial(
    address: &Address,
    key: &Key,
    timeout: Duration,
) -> io::Result<(ServerId, Arc<Connection>)> {
    let _outside = Outside::here();
    let limit = Limit::At(park::deadline(timeout));
    let wire = Wire::new(address.connect(timeout.max(Duration::from_millis(1)))?);
    let server = handshake::enter(&wire, key, limit)?;
    Ok((
        server,
        Arc::new(Connection::new(wire, Some(PATIENCE), None)),
    ))
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("is_gone", &self.is_gone())
            .finish_non_exhaustive()
    }
}
