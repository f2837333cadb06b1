//! How a call reaches its object and waits for its answer, in this process or another.
//!
//! In the process that serves the object, a waiter waits for its slot. In another, the waiters of one connection,
//! which leads to one object or, with a manager, to many, share it: one of them reads for all (`waiters`).
//!
//! Nobody leaves without an answer while the object lives: at a deadline, and when it unwinds, a waiter says that
//! it gives up, and is answered at once. So whether it was in time is decided in one place, and what it was given
//! all the same it gives back.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::ipc::codec::CodecError;
use crate::ipc::home;
use crate::ipc::line::Line;
use crate::ipc::link::{Incoming, LONGEST, Outgoing, Wire};
use crate::ipc::parcel::{Parcel, Passed, Reach, after_packing, refused};
use crate::runtime::Outside;
use crate::scheduler::park;
use crate::task::shield;

use super::managed::{Link, Pass};
use super::object::{Answer, Call, ClientId, Object, Ticket};
use super::server::{ATTACH, GIVE_UP, NOBODY, Server, Slot, TAKE_BACK, WHO, is_post, post_number};
use super::waiters::{Bell, Waiters};

/// Without a wait.
const NOW: Limit = Limit::Within(Duration::ZERO);

/// Says of a call that its time was over before it had left.
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
        if parcel.bytes.len() > LONGEST {
            let text = format!("it has more than the {LONGEST} bytes that one message may have");
            return Err(CodecError::of::<T>(text));
        }
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
        let _outside = Outside::here();
        match &self.way {
            Way::Here { server, client } => {
                let ticket = client.ticket();
                let slot = server.call(ticket, call);
                Ok(WaitHere {
                    server,
                    ticket,
                    slot: Some(slot),
                }
                .wait(limit))
            }
            Way::There(connection) => connection.call(0, call, limit),
            Way::Managed { link, object } => match link.connection(limit)? {
                Some(connection) => connection.call(*object, call, limit),
                None => Ok(unsent(0)),
            },
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

fn unsent(number: u64) -> Answer {
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

/// A connection to an object in another process, or to all that are there.
pub(in crate::ipc) struct Connection {
    line: Arc<Line>,
    waiting: Waiters<Slot>,
    is_gone: AtomicBool,
    /// Of the last call.
    last: AtomicU32,
    /// How long a server that was told of a waiter's going may take to answer that: after it, it is as good as dead.
    patience: Option<Duration>,
}

impl Connection {
    pub(in crate::ipc) fn new(wire: Wire, patience: Option<Duration>) -> Connection {
        Connection {
            line: Line::new(wire, Incoming::new(LONGEST)),
            waiting: Waiters::new(),
            is_gone: AtomicBool::new(false),
            last: AtomicU32::new(0),
            patience,
        }
    }

    /// Whether the other side is known to be gone, or can be seen to be.
    pub(in crate::ipc) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire) || self.line.wire.is_hung_up()
    }

    /// A number for a call of an object: the upper half names the object, the lower half the call.
    fn number(&self, object: u32) -> u64 {
        // Relaxed: only uniqueness matters.
        u64::from(object) << 32 | u64::from(self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// Says something that has no answer. No cancellation cuts it short: a lock whose release is not told stays held.
    #[track_caller]
    fn send(&self, what: u8, number: u64, parcel: Parcel) -> Result<(), Gone> {
        let outgoing = Outgoing::new(what, number, parcel).map_err(|_| Gone)?;
        shield(|| self.line.send(outgoing, Limit::Never)).map_err(|_| Gone)
    }

    #[track_caller]
    fn post(&self, object: u32, call: Call) -> Result<(), Gone> {
        self.send(call.what, post_number(object), call.parcel)
    }

    #[track_caller]
    fn give_back(&self, answer: Answer) {
        let mut bytes = vec![answer.what];
        bytes.extend(answer.parcel.bytes);
        let parcel = Parcel {
            bytes,
            descriptors: answer.parcel.descriptors,
        };
        let _ = self.send(TAKE_BACK, answer.ticket.number, parcel);
    }

    #[track_caller]
    fn call(&self, object: u32, call: Call, limit: Limit) -> Result<Answer, Gone> {
        let slot = Arc::new(Slot::default());
        // After four thousand million calls a number may still be somebody's.
        let number = loop {
            let number = self.number(object);
            if !is_post(number) && self.waiting.enter(number, &slot) {
                break number;
            }
        };
        let mut wait = WaitThere {
            connection: self,
            number,
            slot,
            is_sent: Cell::new(false),
            is_over: false,
        };
        let outgoing = Outgoing::new(call.what, number, call.parcel).map_err(|_| Gone)?;
        match self.line.send_noting(outgoing, limit, &wait.is_sent) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(unsent(number)),
            Err(_) => return Err(Gone),
        }
        let mut answer = wait.wait(limit);
        if matches!(answer, Ok(None)) {
            answer = wait.give_up();
        }
        wait.is_over = true;
        match answer?.ok_or(Gone)? {
            answer if answer.what == NOBODY => Err(Gone),
            answer => Ok(answer),
        }
    }

    /// Ends the connection from this side, for everybody.
    pub(in crate::ipc) fn hang_up(&self) {
        self.line.wire.hang_up();
        self.end();
    }

    /// The object's process is gone, for everybody.
    fn end(&self) {
        // Release: pairs with the look of each waiter, though the lock would do.
        self.is_gone.store(true, Ordering::Release);
        self.waiting.ring_all();
    }
}

/// A call to another process.
struct WaitThere<'a> {
    connection: &'a Connection,
    number: u64,
    slot: Arc<Slot>,
    /// Sent, or perhaps sent: an answer will come.
    is_sent: Cell<bool>,
    /// The answer was taken, or none will come.
    is_over: bool,
}

impl WaitThere<'_> {
    /// `None` when the time is over.
    #[track_caller]
    fn wait(&self, limit: Limit) -> Result<Option<Answer>, Gone> {
        let limit = limit.fixed();
        let _listening = self.connection.waiting.listen(self.number);
        loop {
            if let Some(answer) = self.slot.take() {
                return Ok(Some(answer));
            }
            if self.connection.is_gone.load(Ordering::Acquire) {
                return Err(Gone);
            }
            match self.connection.line.try_incoming() {
                Some(mut incoming) => {
                    // The leader before may have left the answer after the look above, and gone: it would be
                    // read for in vain. Nobody but a leader leaves any, so this look is the last.
                    if let Some(answer) = self.slot.take() {
                        return Ok(Some(answer));
                    }
                    if !self.lead(&mut incoming, limit) {
                        return Ok(None);
                    }
                }
                None if !self.slot.wait(limit) => return Ok(None),
                None => self.slot.filled.clear(),
            }
        }
    }

    /// Says that it will not wait any longer, and waits for the answer to that.
    #[track_caller]
    fn give_up(&self) -> Result<Option<Answer>, Gone> {
        let connection = self.connection;
        let limit = connection
            .patience
            .map_or(Limit::Never, |patience| Limit::At(park::deadline(patience)));
        let answer = self.say_so().and_then(|()| self.wait(limit));
        if !matches!(answer, Ok(Some(_))) {
            // A server that says nothing at all is one that nobody should go on waiting for.
            connection.hang_up();
        }
        answer
    }

    /// Where there is no room for the word a task waits for that: this one is to read meanwhile, for there may be none
    /// before somebody has read.
    #[track_caller]
    fn say_so(&self) -> Result<(), Gone> {
        let (line, number) = (self.connection.line.clone(), self.number);
        match line.send(Outgoing::plain(GIVE_UP, number), NOW) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let later = move || drop(line.send(Outgoing::plain(GIVE_UP, number), Limit::Never));
                let task = home::spawn("a call that is given up", later);
                task.map(drop).map_err(|_| Gone)
            }
            said => said.map_err(|_| Gone),
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
            let slot = self.connection.waiting.leave(frame.number);
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
        // Unwound, or the connection broke.
        if self.is_sent.get()
            && !self.is_over
            && let Ok(Some(answer)) = self.give_up()
        {
            self.connection.give_back(answer);
        }
        let _ = self.connection.waiting.leave(self.number);
    }
}

impl Bell for Slot {
    fn ring(&self) {
        self.filled.set();
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

/// How a handle crosses to another process.
#[derive(Serialize, Deserialize)]
enum Crossing<S> {
    /// By a connection of its own.
    Connection(S),
    /// By the name of the object, and of the manager that serves it.
    Managed(Pass),
}

/// Our end of a connection, which is passed on.
struct End(Wire);

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Passed::serialize(&self.0, serializer)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        if let Way::Managed { link, object } = &self.way {
            let pass = link.pass(*object);
            let pass = pass.map_err(|why| S::Error::custom(refused(why)))?;
            return Crossing::<End>::Managed(pass).serialize(serializer);
        }
        let (ours, theirs) = Wire::pair().map_err(S::Error::custom)?;
        let crossing = Crossing::Connection(End(ours)).serialize(serializer)?;
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
            Way::Managed { .. } => unreachable!("it was seen to above"),
        }
        Ok(crossing)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let way = match Crossing::<Passed>::deserialize(deserializer)? {
            Crossing::Connection(Passed(socket)) => {
                Way::There(Arc::new(Connection::new(Wire::new(socket), None)))
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
