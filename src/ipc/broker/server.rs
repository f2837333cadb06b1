//! Serves an object to its own process and to others.
//!
//! One lock is round the object and the list of its clients. A call is put to the object inside; the answers it
//! brings about are delivered outside, each to its client: to a waiter here by its slot, to another process by its
//! socket. A socket that has no room gets a task that writes on; in the meantime its answers queue up, in order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::Limit;
use crate::ipc::home;
use crate::ipc::link::{Incoming, LONGEST, Outgoing, Wire};
use crate::ipc::parcel::Parcel;
use crate::sync::Event;

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};

/// A call that only the server understands: the descriptor that comes with it is another client's connection.
pub(super) const ATTACH: u8 = 255;
/// The same: the caller of that number does not want to wait any longer.
pub(super) const GIVE_UP: u8 = 254;
/// The same: an answer, which follows, has come too late.
pub(super) const TAKE_BACK: u8 = 253;

/// The same: the caller asks for its own number.
pub(super) const WHO: u8 = 252;

pub(super) struct Server {
    inner: Mutex<Inner>,
}

struct Inner {
    object: Box<dyn Object>,
    remotes: HashMap<ClientId, Arc<Remote>>,
    /// Calls from this process that wait.
    locals: HashMap<Ticket, Arc<Slot>>,
    /// The last number given to a client.
    clients: ClientId,
}

/// Where an answer is left for a waiter in this process.
#[derive(Debug, Default)]
pub(super) struct Slot {
    answer: Mutex<Option<Answer>>,
    pub(super) filled: Event,
}

impl Slot {
    pub(super) fn fill(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.filled.set();
    }

    pub(super) fn take(&self) -> Option<Answer> {
        self.answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A client in another process.
struct Remote {
    client: ClientId,
    wire: Wire,
    outbox: Mutex<Outbox>,
}

#[derive(Default)]
struct Outbox {
    /// The first may have left in part.
    queue: VecDeque<(Outgoing, Ticket, u8)>,
    /// A task sees to the queue.
    has_writer: bool,
}

impl Server {
    pub(super) fn new(object: impl Object) -> Arc<Server> {
        Arc::new(Server {
            inner: Mutex::new(Inner {
                object: Box::new(object),
                remotes: HashMap::new(),
                locals: HashMap::new(),
                clients: 0,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for one more user.
    pub(super) fn enter(&self) -> ClientId {
        let mut inner = self.lock();
        inner.clients += 1;
        inner.clients
    }

    /// Puts a call of this process; its answer comes to the slot.
    pub(super) fn call(self: &Arc<Self>, ticket: Ticket, call: Call) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        self.step(|inner, answers| {
            inner.locals.insert(ticket, slot.clone());
            inner.object.call(ticket, call, answers);
        });
        slot
    }

    /// Puts a call of this process whose answer nobody waits for.
    pub(super) fn post(self: &Arc<Self>, ticket: Ticket, call: Call) {
        self.step(|inner, answers| inner.object.call(ticket, call, answers));
    }

    /// The waiter of this process wants to wait no longer; its answer comes now, if it has not come.
    pub(super) fn give_up(self: &Arc<Self>, ticket: Ticket) {
        self.step(|inner, answers| inner.object.give_up(ticket, answers));
    }

    /// An answer that its waiter will not take.
    pub(super) fn take_back(self: &Arc<Self>, answer: Answer) {
        self.step(|inner, answers| inner.object.take_back(answer, answers));
    }

    /// A user is gone.
    pub(super) fn leave(self: &Arc<Self>, client: ClientId) {
        self.step(|inner, answers| {
            inner.remotes.remove(&client);
            inner.locals.retain(|ticket, _| ticket.client != client);
            inner.object.leave(client, answers);
        });
    }

    /// Has the object do something, and delivers what it answers.
    fn step(self: &Arc<Self>, f: impl FnOnce(&mut Inner, &mut Answers)) {
        let mut answers = Answers::default();
        let mut inner = self.lock();
        f(&mut inner, &mut answers);
        while !answers.0.is_empty() {
            let due: Vec<_> = answers
                .0
                .drain(..)
                .map(|answer| inner.addressed(answer))
                .collect();
            drop(inner);
            let returned: Vec<Answer> = due
                .into_iter()
                .filter_map(|(whom, answer)| self.deliver(whom, answer))
                .collect();
            if returned.is_empty() {
                return;
            }
            inner = self.lock();
            for answer in returned {
                inner.object.take_back(answer, &mut answers);
            }
        }
    }

    /// Gives the answer back when there is nobody to take it.
    fn deliver(self: &Arc<Self>, whom: Whom, answer: Answer) -> Option<Answer> {
        match whom {
            Whom::Here(slot) => slot.fill(answer),
            Whom::There(remote) => return self.send(&remote, answer),
            // A post's answer says nothing that anybody waits for.
            Whom::Nobody => return Some(answer),
        }
        None
    }

    fn send(self: &Arc<Self>, remote: &Arc<Remote>, answer: Answer) -> Option<Answer> {
        let Answer {
            ticket,
            what,
            parcel,
        } = answer;
        let Ok(mut outgoing) = Outgoing::new(what, ticket.number, parcel) else {
            unreachable!("it came in a frame, so it fits into one");
        };
        let mut outbox = remote.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if !outbox.has_writer {
            match outgoing.try_send(&remote.wire) {
                Ok(true) => return None,
                Ok(false) => {}
                Err(_) => {
                    drop(outbox);
                    return Some(returned(outgoing, ticket, what));
                }
            }
        }
        outbox.queue.push_back((outgoing, ticket, what));
        if !std::mem::replace(&mut outbox.has_writer, true) {
            let (server, theirs) = (self.clone(), remote.clone());
            let write = move || server.write(&theirs);
            if home::spawn("writer of a shared object", write).is_err() {
                remote.wire.hang_up();
            }
        }
        None
    }

    /// Writes out what has no room in the socket, as room comes.
    fn write(self: &Arc<Self>, remote: &Remote) {
        loop {
            let next = {
                let mut outbox = remote.outbox.lock().unwrap_or_else(PoisonError::into_inner);
                let next = outbox.queue.pop_front();
                outbox.has_writer = next.is_some();
                next
            };
            let Some((mut outgoing, ticket, what)) = next else {
                return;
            };
            if outgoing.send(&remote.wire, Limit::Never).is_err() {
                self.take_back(returned(outgoing, ticket, what));
            }
        }
    }

    /// Serves a connection to its end, in a task at home.
    ///
    /// # Errors
    /// When there can be no such task.
    pub(super) fn attach(self: &Arc<Self>, socket: OwnedFd) -> io::Result<()> {
        let remote = {
            let mut inner = self.lock();
            inner.clients += 1;
            let remote = Arc::new(Remote {
                client: inner.clients,
                wire: Wire::new(socket),
                outbox: Mutex::default(),
            });
            inner.remotes.insert(remote.client, remote.clone());
            remote
        };
        let (server, client) = (self.clone(), remote.client);
        let serve = move || server.serve(&remote);
        let served = home::spawn("server of a shared object", serve);
        served.map(drop).inspect_err(|_| self.leave(client))
    }

    fn serve(self: &Arc<Self>, remote: &Arc<Remote>) {
        let mut incoming = Incoming::new(LONGEST);
        while let Ok(Some(frame)) = incoming.recv(&remote.wire, Limit::Never) {
            let ticket = Ticket {
                client: remote.client,
                number: frame.number,
            };
            match frame.kind {
                GIVE_UP => self.give_up(ticket),
                WHO => drop(self.send(remote, who(ticket))),
                TAKE_BACK => self.take_back(late(ticket, frame.parcel)),
                ATTACH => {
                    for socket in frame.parcel.descriptors {
                        if let Err(error) = self.attach(socket) {
                            log::warn!("a process cannot be served: {error}");
                        }
                    }
                }
                what => self.post(
                    ticket,
                    Call {
                        what,
                        parcel: frame.parcel,
                    },
                ),
            }
        }
        self.leave(remote.client);
    }
}

/// Tells a client its number.
fn who(ticket: Ticket) -> Answer {
    let Call { what, parcel } = Call::number(WHO, ticket.client);
    Answer {
        ticket,
        what,
        parcel,
    }
}

/// An answer that was on its way.
fn returned(outgoing: Outgoing, ticket: Ticket, what: u8) -> Answer {
    Answer {
        ticket,
        what,
        parcel: outgoing.into_parcel(),
    }
}

/// An answer that its waiter has sent back.
fn late(ticket: Ticket, mut parcel: Parcel) -> Answer {
    let what = match parcel.bytes.is_empty() {
        true => 0,
        false => parcel.bytes.remove(0),
    };
    Answer {
        ticket,
        what,
        parcel,
    }
}

/// Who takes an answer.
enum Whom {
    Here(Arc<Slot>),
    There(Arc<Remote>),
    Nobody,
}

impl Inner {
    fn addressed(&mut self, answer: Answer) -> (Whom, Answer) {
        let whom = match self.remotes.get(&answer.ticket.client) {
            Some(remote) => Whom::There(remote.clone()),
            None => self
                .locals
                .remove(&answer.ticket)
                .map_or(Whom::Nobody, Whom::Here),
        };
        (whom, answer)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Server")
            .field("processes", &inner.remotes.len())
            .field("waiting_here", &inner.locals.len())
            .finish_non_exhaustive()
    }
}
