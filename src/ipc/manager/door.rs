//! Where a manager lets clients in: whoever comes has a few seconds to show that he knows the key.
//!
//! Strangers cost little and are few: a task and a descriptor each, and when there are too many the one who has been
//! there longest goes. A client that knows the key is through in one exchange of messages, so others who say nothing, or
//! nonsense, do not keep it out, however many they are.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::io::Limit;
use crate::ipc::address::{Address, Listener};
use crate::ipc::broker::{Link, PATIENCE};
use crate::ipc::handshake::{self, Key, ServerId};
use crate::ipc::home;
use crate::ipc::link::Wire;
use crate::ipc::parcel::Reach;
use crate::sys::random;
use crate::time::sleep;

use super::functions::Functions;
use super::hub::Hub;

/// So many may stand before the door.
const MOST_STRANGERS: usize = 128;

/// A pause after a connection that could not be taken: there is no room for it.
const PAUSE: Duration = Duration::from_millis(20);

/// A manager that listens.
pub(super) struct Door {
    id: ServerId,
    address: Address,
    key: Key,
    listener: Listener,
    hub: Arc<Hub>,
    /// The one who has waited longest comes first.
    strangers: Mutex<VecDeque<Arc<Wire>>>,
}

impl Door {
    /// Listens, from tasks at home, with a listener that is bound to the address.
    ///
    /// # Errors
    /// When there can be no such task, or no random id.
    #[track_caller]
    pub(super) fn open(
        listener: Listener,
        address: Address,
        key: Key,
        functions: Functions,
    ) -> io::Result<Arc<Door>> {
        let reach = match address.is_network() {
            true => Reach::Network,
            false => Reach::Store,
        };
        let door = Arc::new(Door {
            id: random::bytes()?,
            address,
            key,
            listener,
            hub: Hub::new(functions.into_library(reach)),
            strangers: Mutex::default(),
        });
        let keeper = door.clone();
        drop(home::spawn("door of a manager", move || keeper.keep())?);
        Ok(door)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How this process itself uses the manager.
    ///
    /// # Errors
    /// When there is no descriptor or no task left.
    #[track_caller]
    pub(super) fn link(&self) -> io::Result<Arc<Link>> {
        let (ours, theirs) = Wire::pair()?;
        let (hub, theirs) = (self.hub.clone(), Arc::new(Wire::new(theirs)));
        drop(home::spawn("client of a manager", move || {
            hub.serve(theirs)
        })?);
        Ok(Link::over(
            ours,
            self.id,
            self.address.clone(),
            self.key.clone(),
        ))
    }

    /// Lets nobody in any more, and sends away all who are there.
    pub(super) fn close(&self) {
        self.listener.close();
        for stranger in self.strangers().drain(..) {
            stranger.hang_up();
        }
        self.hub.close();
    }

    fn strangers(&self) -> MutexGuard<'_, VecDeque<Arc<Wire>>> {
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(self: &Arc<Self>) {
        loop {
            match self.listener.accept() {
                Ok(socket) => self.meet(socket),
                Err(_) if self.listener.is_closed() => return,
                Err(error) => {
                    log::warn!("a manager cannot take a connection: {error}");
                    self.send_one_away();
                    sleep(PAUSE);
                }
            }
        }
    }

    fn send_one_away(&self) {
        let longest = self.strangers().pop_front();
        if let Some(longest) = longest {
            longest.hang_up();
        }
    }

    fn meet(self: &Arc<Self>, socket: OwnedFd) {
        let wire = Arc::new(Wire::new(socket));
        let count = {
            let mut strangers = self.strangers();
            strangers.push_back(wire.clone());
            strangers.len()
        };
        if count > MOST_STRANGERS {
            self.send_one_away();
        }
        let (door, stranger) = (self.clone(), wire.clone());
        let serve = move || {
            let admitted = door.admit(&wire);
            door.forget(&wire);
            match admitted {
                Ok(()) => door.hub.serve(wire),
                Err(error) => log::debug!("a manager has let somebody not in: {error}"),
            }
        };
        if home::spawn("client of a manager", serve).is_err() {
            self.forget(&stranger);
        }
    }

    fn admit(&self, wire: &Wire) -> io::Result<()> {
        let limit = Limit::At(crate::scheduler::park::deadline(PATIENCE));
        handshake::admit(wire, self.id, &self.key, limit)
    }

    fn forget(&self, wire: &Arc<Wire>) {
        self.strangers().retain(|other| !Arc::ptr_eq(other, wire));
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("address", &self.address)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
