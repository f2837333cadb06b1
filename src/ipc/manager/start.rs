//! A manager in a process of its own, a daemon of the one that starts it.
//!
//! The parent binds the address, a name that nobody else has, and hands the socket over: so it can connect before the
//! child has got so far. The key is as random as the name, and known to whoever has a handle.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ipc::address::{Address, Listener};
use crate::ipc::broker::{Keeper, Link, PATIENCE};
use crate::ipc::handshake::Key;
use crate::ipc::parcel::Passed;
use crate::process::{Builder, Process, Service};
use crate::sync::Event;
use crate::sys::random;

use super::client::Manager;
use super::door::Door;
use super::functions::Functions;

/// How long a child that cannot be connected to has to say why.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What the child is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    listener: Passed,
    address: Address,
    key: Vec<u8>,
}

impl Manager {
    /// Starts a manager in a process of its own, a daemon of this one.
    ///
    /// # Errors
    ///
    /// As for [`Process::spawn`].
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits for the new process, which is killed.
    ///
    /// # Parks
    ///
    /// Until the new process answers, a few milliseconds (`ipc.recv`).
    #[track_caller]
    pub fn start() -> io::Result<Manager> {
        Manager::start_with(|_| {})
    }

    /// As [`start`](Self::start); `functions` is called in the new process, and gives names to the functions that clients
    /// may have run there. As with a [`Process`], it is a `fn`, or a closure that captures nothing.
    ///
    /// # Errors
    ///
    /// As there, and what `functions` panicked with.
    ///
    /// # Examples
    ///
    /// See [`Functions`].
    #[track_caller]
    pub fn start_with(functions: fn(&mut Functions)) -> io::Result<Manager> {
        let address = Address::private(&random::bytes::<16>()?);
        let key = Key::random()?;
        let (listener, address) = Listener::bind(&address)?;
        let orders = Orders {
            listener: Passed(listener.into_fd()),
            address: address.clone(),
            key: key.as_bytes().to_vec(),
        };
        let builder = Builder::new().name("Manager").daemon(true);
        let process = builder.spawn_service::<Child>(functions, orders)?;
        // Killed when this unwinds.
        let keeper = Keep(Some(process));
        match Link::connect(&address, &key, PATIENCE) {
            Ok(link) => {
                link.keep(Box::new(keeper));
                Ok(Manager::over(link))
            }
            Err(error) => Err(keeper.explain(error)),
        }
    }
}

/// The manager's process, from inside.
struct Child;

impl Service for Child {
    type Setup = Functions;
    type Orders = Orders;

    /// Serves until it is killed.
    fn run(functions: fn(&mut Functions), orders: Orders) {
        let mut named = Functions::new();
        functions(&mut named);
        let begun = Key::new(&orders.key).and_then(|key| {
            let listener = Listener::inherited(orders.listener.0, &orders.address);
            Door::open(listener, orders.address, key, named)
        });
        match begun {
            Ok(door) => {
                // For functions that find handles of this very manager in what they change.
                let _link = door.link();
                Event::new().wait();
            }
            Err(error) => panic!("a manager cannot serve: {error}"),
        }
    }
}

/// The manager's process, in its parent: it is killed with this. `None` only at the end.
struct Keep(Option<Process<()>>);

impl Keep {
    fn process(&self) -> &Process<()> {
        self.0.as_ref().expect("it is there until the end")
    }

    /// Why it could not be connected to: it may have said more before it died.
    #[track_caller]
    fn explain(mut self, error: io::Error) -> io::Error {
        let Some(process) = self.0.take() else {
            return error;
        };
        match process.join_timeout(LAST_WORDS) {
            Ok(Err(why)) => io::Error::other(why),
            Ok(Ok(())) => error,
            Err(process) => {
                let _ = process.kill();
                error
            }
        }
    }
}

impl Keeper for Keep {
    fn id(&self) -> u32 {
        self.process().id()
    }

    fn end(&self) {
        let _ = self.process().kill();
        self.process().wait();
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            // Reaped in the background, as every child is.
            let _ = process.kill();
        }
    }
}
