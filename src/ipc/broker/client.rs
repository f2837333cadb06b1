//! How a call reaches its object and waits for its answer, in this process or another.
//!
//! In the process that serves the object, a waiter waits for its slot. In another, the waiters of one connection
//! share it: one of them, the *leader*, reads; what is not its own answer it puts into its owner's slot. The
//! others wait for their slots. A leader that leaves pokes one of them, who leads from then on. Whoever leaves
//! pokes, for it may have been poked in vain.
//!
//! Nobody leaves without an answer while the object lives: at a deadline, and when it unwinds, a waiter says that
//! it gives up, and is answered at once. So whether it was in time is decided in one place, and what it was given
//! all the same it gives back.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::ipc::line::Line;
use crate::ipc::link::{Incoming, LONGEST, Outgoing, Wire};
use crate::ipc::parcel::{Parcel, Passed, after_packing};
use crate::runtime::Outside;
use crate::scheduler::park;

use super::object::{Answer, Call, ClientId, Object, Ticket};
use super::server::{ATTACH, GIVE_UP, Server, Slot, TAKE_BACK, WHO};

/// The process that serves the object is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipc) struct Gone;

/// A reference to a shared object.
#[derive(Clone)]
pub(in crate::ipc) struct Handle {
    way: Way,
    /// Of the last call from here.
    last: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Way {
    Here {
        server: Arc<Server>,
        client: Arc<Membership>,
    },
    There(Arc<Connection>),
}

/// A user of the object in the process that serves it; leaves it when all clones of its handle are gone.
struct Membership {
    server: Arc<Server>,
    client: ClientId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.server.leave(self.client);
    }
}

impl Handle {
    /// Makes an object, to be served by this process.
    pub(in crate::ipc) fn new(object: impl Object) -> Handle {
        let server = Server::new(object);
        let client = Arc::new(Membership {
            server: server.clone(),
            client: server.enter(),
        });
        Handle {
            way: Way::Here { server, client },
            last: Arc::default(),
        }
    }

    fn number(&self) -> u64 {
        // Relaxed: only uniqueness matters.
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a call and waits for its answer. At the deadline the call is given up, which is an answer as well.
    ///
    /// # Errors
    /// When the process that serves the object is gone.
    ///
    /// # Cancellation
    /// Gives the call up, and back what it was given.
    #[track_caller]
    pub(in crate::ipc) fn call(&self, call: Call, limit: Limit) -> Result<Answer, Gone> {
        let number = self.number();
        let _outside = Outside::here();
        match &self.way {
            Way::Here { server, client } => {
                let ticket = Ticket {
                    client: client.client,
                    number,
                };
                let slot = server.call(ticket, call);
                Ok(WaitHere {
                    server,
                    ticket,
                    slot: Some(slot),
                }
                .wait(limit))
            }
            Way::There(connection) => connection.call(number, call, limit),
        }
    }

    /// The number of this user, by which the object knows it.
    ///
    /// # Errors
    /// When the process that serves the object is gone.
    #[track_caller]
    pub(in crate::ipc) fn client(&self) -> Result<ClientId, Gone> {
        match &self.way {
            Way::Here { client, .. } => Ok(client.client),
            Way::There(_) => Ok(self.call(Call::plain(WHO), Limit::Never)?.as_number()),
        }
    }

    /// Puts a call that has no answer.
    ///
    /// # Errors
    /// When the process that serves the object is gone, as far as is known.
    #[track_caller]
    pub(in crate::ipc) fn post(&self, call: Call) -> Result<(), Gone> {
        let number = self.number();
        match &self.way {
            Way::Here { server, client } => {
                let ticket = Ticket {
                    client: client.client,
                    number,
                };
                server.post(ticket, call);
                Ok(())
            }
            Way::There(connection) => connection.send(call.what, number, call.parcel),
        }
    }
}

/// A call in the process that serves its object.
struct WaitHere<'a> {
    server: &'a Arc<Server>,
    ticket: Ticket,
    /// `None` once the answer is taken.
    slot: Option<Arc<Slot>>,
}

impl WaitHere<'_> {
    #[track_caller]
    fn wait(mut self, limit: Limit) -> Answer {
        let Some(slot) = self.slot.clone() else {
            unreachable!("it is there until the answer is taken");
        };
        if !slot.wait(limit) {
            self.server.give_up(self.ticket);
            slot.wait(Limit::Never);
        }
        self.slot = None;
        let Some(answer) = slot.take() else {
            unreachable!("the slot was filled");
        };
        answer
    }
}

impl Drop for WaitHere<'_> {
    fn drop(&mut self) {
        // Unwound out of the wait.
        let Some(slot) = self.slot.take() else { return };
        self.server.give_up(self.ticket);
        slot.wait(Limit::Never);
        if let Some(answer) = slot.take() {
            self.server.take_back(answer);
        }
    }
}

/// A connection to an object in another process.
pub(super) struct Connection {
    line: Arc<Line>,
    waiting: Mutex<HashMap<u64, Arc<Slot>>>,
    is_gone: AtomicBool,
}

impl Connection {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn send(&self, what: u8, number: u64, parcel: Parcel) -> Result<(), Gone> {
        let outgoing = Outgoing::new(what, number, parcel).map_err(|_| Gone)?;
        self.line.send(outgoing, Limit::Never).map_err(|_| Gone)
    }

    #[track_caller]
    fn call(&self, number: u64, call: Call, limit: Limit) -> Result<Answer, Gone> {
        let slot = Arc::new(Slot::default());
        self.waiting().insert(number, slot.clone());
        let mut wait = WaitThere {
            connection: self,
            number,
            slot,
            is_sent: false,
            is_over: false,
        };
        let outgoing = Outgoing::new(call.what, number, call.parcel).map_err(|_| Gone)?;
        wait.is_sent = true;
        self.line.send(outgoing, Limit::Never).map_err(|_| Gone)?;
        let mut answer = wait.wait(limit);
        if matches!(answer, Ok(None)) {
            self.send(GIVE_UP, number, Parcel::default())?;
            answer = wait.wait(Limit::Never);
        }
        wait.is_over = true;
        answer?.ok_or(Gone)
    }

    /// Wakes one that waits, to lead if nobody does.
    fn poke(&self) {
        let next = self.waiting().values().next().cloned();
        if let Some(next) = next {
            next.filled.set();
        }
    }

    /// The object's process is gone, for everybody.
    fn end(&self) {
        // Release: pairs with the look of each waiter, though the lock would do.
        self.is_gone.store(true, Ordering::Release);
        let waiting: Vec<_> = self.waiting().values().cloned().collect();
        for slot in waiting {
            slot.filled.set();
        }
    }
}

/// A call to another process.
struct WaitThere<'a> {
    connection: &'a Connection,
    number: u64,
    slot: Arc<Slot>,
    /// Sent, or perhaps sent: an answer will come.
    is_sent: bool,
    /// The answer was taken, or none will come.
    is_over: bool,
}

impl WaitThere<'_> {
    /// `None` when the time is over.
    #[track_caller]
    fn wait(&self, limit: Limit) -> Result<Option<Answer>, Gone> {
        let limit = limit.fixed();
        loop {
            if let Some(answer) = self.slot.take() {
                return Ok(Some(answer));
            }
            if self.connection.is_gone.load(Ordering::Acquire) {
                return Err(Gone);
            }
            match self.connection.line.try_incoming() {
                Some(mut incoming) => {
                    if !self.lead(&mut incoming, limit) {
                        return Ok(None);
                    }
                }
                None if !self.slot.wait(limit) => return Ok(None),
                None => self.slot.filled.clear(),
            }
        }
    }

    /// Reads until its own answer has come, or the end: false when the time is over first.
    #[track_caller]
    fn lead(&self, incoming: &mut Incoming, limit: Limit) -> bool {
        loop {
            let frame = match incoming.recv(&self.connection.line.wire, limit) {
                Ok(Some(frame)) => frame,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return false,
                Ok(None) | Err(_) => {
                    self.connection.end();
                    return true;
                }
            };
            let is_own = frame.number == self.number;
            let slot = self.connection.waiting().remove(&frame.number);
            let answer = Answer {
                ticket: Ticket {
                    client: 0,
                    number: frame.number,
                },
                what: frame.kind,
                parcel: frame.parcel,
            };
            if let Some(slot) = slot {
                slot.fill(answer);
            }
            if is_own {
                return true;
            }
        }
    }
}

impl Drop for WaitThere<'_> {
    fn drop(&mut self) {
        if self.is_sent && !self.is_over {
            // Unwound, or the connection broke.
            let asked = self
                .connection
                .send(GIVE_UP, self.number, Parcel::default());
            if let Ok(Ok(Some(answer))) = asked.map(|()| self.wait(Limit::Never)) {
                let mut bytes = vec![answer.what];
                bytes.extend(answer.parcel.bytes);
                let parcel = Parcel {
                    bytes,
                    descriptors: answer.parcel.descriptors,
                };
                let _ = self.connection.send(TAKE_BACK, self.number, parcel);
            }
        }
        self.connection.waiting().remove(&self.number);
        self.connection.poke();
    }
}

impl Slot {
    /// False when the time is over first.
    #[track_caller]
    fn wait(&self, limit: Limit) -> bool {
        match limit {
            Limit::Never => {
                self.filled.wait();
                true
            }
            limit => {
                let left = limit.deadline().remaining(park::now());
                match left {
                    Some(left) => self.filled.wait_timeout(left),
                    None => {
                        self.filled.wait();
                        true
                    }
                }
            }
        }
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let (ours, theirs) = Wire::pair().map_err(S::Error::custom)?;
        match &self.way {
            Way::Here { server, .. } => server.attach(theirs).map_err(S::Error::custom)?,
            Way::There(connection) => {
                let connection = connection.clone();
                // It may have to wait for room, which is not allowed here.
                after_packing(move || {
                    let parcel = Parcel {
                        bytes: Vec::new(),
                        descriptors: vec![theirs],
                    };
                    let _ = connection.send(ATTACH, 0, parcel);
                });
            }
        }
        Passed::serialize(&ours, serializer)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Passed(socket) = Passed::deserialize(deserializer)?;
        let connection = Connection {
            line: Line::new(Wire::new(socket), Incoming::new(LONGEST)),
            waiting: Mutex::default(),
            is_gone: AtomicBool::new(false),
        };
        Ok(Handle {
            way: Way::There(Arc::new(connection)),
            last: Arc::default(),
        })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Here { server, .. } => f.debug_tuple("Handle").field(server).finish(),
            Way::There(_) => f.write_str("Handle(in another process)"),
        }
    }
}
