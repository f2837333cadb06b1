//! How a call reaches its object and waits for its answer, in this process or another.
//!
//! In the process that serves the object, a call is made on the spot; one that is not answered then waits for its slot. From
//! another process it goes by a connection, of the object's own or a manager's (`connection`).
//!
//! At a deadline, and when it unwinds, a waiter gives up, and is answered at once. So whether it was in time is decided
//! in one place, and what it was given all the same it gives back.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::ipc::codec::CodecError;
use crate::ipc::link::Wire;
use crate::ipc::parcel::{Parcel, Passed, Reach, after_packing, refused};
use crate::runtime::Outside;
use crate::scheduler::park;

use super::connection::{Connection, Told};
use super::managed::{Link, Pass};
use super::object::{Answer, Call, ClientId, Object, Ticket};
use super::page::Ahead;
use super::server::{ATTACH, Server, Slot, WHO};

/// Says of a call that its time was over before it had left, or that nobody has said anything about it.
pub(in crate::ipc) const UNSENT: u8 = 249;

/// The process that serves the object is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipc) struct Gone;

/// A reference to a shared object.
#[derive(Clone)]
pub(in crate::ipc) struct Handle {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Here {
        server: Arc<Server>,
        client: Arc<Membership>,
    },
    There(Arc<Connection>),
    /// One of the objects of a manager.
    Managed {
        link: Arc<Link>,
        object: u32,
    },
}

/// A user of the object in the process that serves it; leaves it when all clones of its handle are gone.
struct Membership {
    server: Arc<Server>,
    client: ClientId,
    /// Of the last call from here.
    last: AtomicU64,
}

impl Membership {
    fn ticket(&self) -> Ticket {
        Ticket {
            client: self.client,
            // Relaxed: only uniqueness matters.
            number: self.last.fetch_add(1, Ordering::Relaxed),
        }
    }
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
            last: AtomicU64::new(0),
        });
        Handle {
            way: Way::Here { server, client },
        }
    }

    /// Refers to an object of a manager.
    pub(in crate::ipc) fn managed(link: Arc<Link>, object: u32) -> Handle {
        Handle {
            way: Way::Managed { link, object },
        }
    }

    /// The manager that serves the object, if one does.
    pub(in crate::ipc) fn link(&self) -> Option<&Arc<Link>> {
        match &self.way {
            Way::Managed { link, .. } => Some(link),
            _ => None,
        }
    }

    /// What this process knows of the object by itself: of a manager's, the same for all handles.
    pub(in crate::ipc) fn known<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        match &self.way {
            Way::Managed { link, object } => link.known_of(*object),
            _ => Arc::default(),
        }
    }

    /// How far goes what is put into the object, as an item that comes out once.
    pub(in crate::ipc) fn reach(&self) -> Reach {
        match &self.way {
            Way::Managed { link, .. } if link.is_remote() => Reach::Network,
            _ => Reach::Process,
        }
    }

    /// A call that says a value, which comes out once at most.
    ///
    /// # Errors
    /// When the value cannot be encoded, or cannot go that far.
    pub(in crate::ipc) fn pack<T: Serialize>(
        &self,
        what: u8,
        value: &T,
    ) -> Result<Call, CodecError> {
        let parcel = Parcel::pack_for(self.reach(), Vec::new(), value)?;
        Ok(Call { what, parcel })
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
        self.request(call, limit, false)
    }

    /// As `call`, but soon over at the deadline whether the server says so or not: for one whose answer can be given
    /// back when it comes too late.
    ///
    /// # Errors
    /// As for `call`.
    #[track_caller]
    pub(in crate::ipc) fn call_in_time(&self, call: Call, limit: Limit) -> Result<Answer, Gone> {
        self.request(call, limit, true)
    }

    #[track_caller]
    fn request(&self, call: Call, limit: Limit, may_leave: bool) -> Result<Answer, Gone> {
        match &self.way {
            Way::Here { server, client } => {
                let ticket = client.ticket();
                let slot = match server.call(ticket, call) {
                    Ok(answer) => return Ok(answer),
                    Err(slot) => slot,
                };
                let _outside = Outside::here();
                Ok(WaitHere {
                    server,
                    ticket,
                    slot: Some(slot),
                }
                .wait(limit))
            }
            Way::There(connection) => {
                let _outside = Outside::here();
                connection.call(0, call, limit, may_leave)
            }
            Way::Managed { link, object } => {
                let _outside = Outside::here();
                match link.connection(limit)? {
                    Some(connection) => connection.call(*object, call, limit, may_leave),
                    None => Ok(unsent(0)),
                }
            }
        }
    }

    /// Puts an item. All is well with it unless its answer, if it is waited for at all, says something else.
    ///
    /// # Errors
    /// When the process that serves the object is gone.
    ///
    /// # Cancellation
    /// As for `call`.
    #[track_caller]
    pub(in crate::ipc) fn tell(&self, call: Call, limit: Limit) -> Result<Told, Gone> {
        match &self.way {
            Way::There(connection) => {
                let _outside = Outside::here();
                connection.tell(call, limit)
            }
            _ => self.call(call, limit).map(Told::Answered),
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
            Way::There(_) | Way::Managed { .. } => {
                Ok(self.call(Call::plain(WHO), Limit::Never)?.as_number())
            }
        }
    }

    /// Puts a call that has no answer.
    ///
    /// # Errors
    /// When the process that serves the object is gone, as far as is known.
    #[track_caller]
    pub(in crate::ipc) fn post(&self, call: Call) -> Result<(), Gone> {
        match &self.way {
            Way::Here { server, client } => {
                server.post(client.ticket(), call);
                Ok(())
            }
            Way::There(connection) => connection.post(0, call),
            Way::Managed { link, object } => match link.connection(Limit::Never)? {
                Some(connection) => connection.post(*object, call),
                None => Err(Gone),
            },
        }
    }

    /// Gives back what an answer has given, for it is not what was asked for.
    #[track_caller]
    pub(in crate::ipc) fn give_back(&self, answer: Answer) {
        match &self.way {
            Way::Here { server, .. } => server.take_back(answer),
            Way::There(connection) => connection.give_back(answer),
            Way::Managed { link, .. } => {
                if let Ok(Some(connection)) = link.connection(Limit::Never) {
                    connection.give_back(answer);
                }
            }
        }
    }
}

pub(super) fn unsent(number: u64) -> Answer {
    Answer {
        ticket: Ticket { client: 0, number },
        what: UNSENT,
        parcel: Parcel::default(),
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

impl Slot {
    /// False when the time is over first.
    #[track_caller]
    pub(super) fn wait(&self, limit: Limit) -> bool {
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

/// How a handle crosses to another process. `S` and `P` are descriptors.
#[derive(Serialize, Deserialize)]
enum Crossing<S, P> {
    /// By a connection of its own, perhaps with a slot on a page.
    Connection(S, Option<(P, u32)>),
    /// By the name of the object, and of the manager that serves it.
    Managed(Pass),
}

/// A descriptor of ours, which is passed on.
struct Our<T>(T);

impl<T: AsFd> Serialize for Our<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Passed::serialize(&self.0, serializer)
    }
}

type Leaving<'a> = Crossing<Our<Wire>, Our<BorrowedFd<'a>>>;

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        if let Way::Managed { link, object } = &self.way {
            let pass = link.pass(*object);
            let pass = pass.map_err(|why| S::Error::custom(refused(why)))?;
            return Leaving::Managed(pass).serialize(serializer);
        }
        let (ours, theirs) = Wire::pair().map_err(S::Error::custom)?;
        match &self.way {
            Way::Here { server, .. } => {
                // If it does not get far, its end is closed, and the server forgets it.
                let place = server.attach(theirs).map_err(S::Error::custom)?;
                let place = place
                    .as_ref()
                    .map(|(page, slot)| (Our(page.as_fd()), *slot as u32));
                Leaving::Connection(Our(ours), place).serialize(serializer)
            }
            Way::There(connection) => {
                let crossing = Leaving::Connection(Our(ours), None).serialize(serializer)?;
                let connection = connection.clone();
                // It may have to wait for room, which is not allowed here.
                after_packing(move || {
                    let parcel = Parcel {
                        bytes: Vec::new(),
                        descriptors: vec![theirs],
                    };
                    let _ = connection.send(ATTACH, 0, parcel);
                });
                Ok(crossing)
            }
            Way::Managed { .. } => unreachable!("it was seen to above"),
        }
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let way = match Crossing::<Passed, Passed>::deserialize(deserializer)? {
            Crossing::Connection(Passed(socket), place) => {
                let ahead = place.map(|(Passed(file), slot)| Ahead::open(file, slot));
                let ahead = ahead.transpose().map_err(D::Error::custom)?;
                Way::There(Arc::new(Connection::new(Wire::new(socket), None, ahead)))
            }
            Crossing::Managed(pass) => {
                let object = pass.object;
                let link = Link::received(pass);
                let link = link.map_err(|why| D::Error::custom(refused(why)))?;
                Way::Managed { link, object }
            }
        };
        Ok(Handle { way })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Here { server, .. } => f.debug_tuple("Handle").field(server).finish(),
            Way::There(_) => f.write_str("Handle(in another process)"),
            Way::Managed { link, object } => {
                write!(f, "Handle(object {object} of {})", link.address())
            }
        }
    }
}
