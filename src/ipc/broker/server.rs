//! Serves an object to its own process and to others.
//!
//! One lock is round the object and the list of its clients. A call is put to the object inside; the answers it
//! brings about are delivered outside, each to its client: to a waiter here by its slot, to another process by its
//! socket (`remote`). What a call wants done outside, which is a user's code, a task of its own sees to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blocking::unblock;
use crate::io::Limit;
use crate::ipc::home;
use crate::ipc::link::{Frame, Incoming, LONGEST, Wire};
use crate::ipc::parcel::Parcel;
use crate::sync::Event;

use super::object::{Answer, Answers, Call, ClientId, Job, Object, Ticket};
use super::remote::Remote;
use super::work::Refusal;

/// A call that only the server understands: the descriptor that comes with it is another client's connection.
pub(super) const ATTACH: u8 = 255;
/// The same: the caller of that number does not want to wait any longer.
pub(super) const GIVE_UP: u8 = 254;
/// The same: an answer, which follows, has come too late.
pub(super) const TAKE_BACK: u8 = 253;
/// Says to a call that there is no such object.
pub(in crate::ipc) const NOBODY: u8 = 251;
/// Says to a call that what it asks for is longer than a message may be.
pub(in crate::ipc) const TOO_LONG: u8 = 250;

/// Numbers of calls that have no answer end in this.
const POST: u32 = u32::MAX;

/// The number of a call that has no answer.
pub(super) fn post_number(object: u32) -> u64 {
    u64::from(object) << 32 | u64::from(POST)
}

/// Whether nobody waits for an answer to the call of this number.
pub(super) fn is_post(number: u64) -> bool {
    number as u32 == POST
}

/// An object that is served.
pub(in crate::ipc) struct Server {
    inner: Mutex<Inner>,
    /// Set once, inside the lock.
    is_closed: AtomicBool,
}

struct Inner {
    object: Box<dyn Object>,
    remotes: HashMap<ClientId, Arc<Remote>>,
    /// Calls from this process that wait.
    locals: HashMap<Ticket, Arc<Slot>>,
    /// Calls from other processes that wait.
    pending: HashSet<Ticket>,
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

impl Server {
    pub(in crate::ipc) fn new(object: impl Object) -> Arc<Server> {
        Arc::new(Server {
            inner: Mutex::new(Inner {
                object: Box::new(object),
                remotes: HashMap::new(),
                locals: HashMap::new(),
                pending: HashSet::new(),
                clients: 0,
            }),
            is_closed: AtomicBool::new(false),
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
    pub(in crate::ipc) fn leave(self: &Arc<Self>, client: ClientId) {
        self.step(|inner, answers| {
            inner.remotes.remove(&client);
            inner.locals.retain(|ticket, _| ticket.client != client);
            inner.pending.retain(|ticket| ticket.client != client);
            inner.object.leave(client, answers);
        });
    }

    /// Has the object do something, and delivers what it answers.
    fn step(self: &Arc<Self>, f: impl FnOnce(&mut Inner, &mut Answers)) {
        let mut answers = Answers::default();
        let mut inner = self.lock();
        f(&mut inner, &mut answers);
        loop {
            let Answers { said, jobs } = std::mem::take(&mut answers);
            if said.is_empty() && jobs.is_empty() {
                return;
            }
            let due: Vec<_> = said
                .into_iter()
                .map(|answer| inner.addressed(answer))
                .collect();
            drop(inner);
            jobs.into_iter().for_each(|job| self.begin(job));
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

    /// Has a job done by a thread that may be kept for as long as it takes.
    fn begin(self: &Arc<Self>, job: Job) {
        let server = self.clone();
        let work = move || {
            let outcome = unblock(job);
            server.step(|inner, answers| inner.object.done(outcome, answers));
        };
        if let Err(error) = home::spawn("function of a shared object", work) {
            let text = format!("there is no task for it: {error}");
            self.step(|inner, answers| {
                inner.object.done(Err(Refusal::Panicked(text)), answers);
            });
        }
    }

    /// Gives the answer back when there is nobody to take it.
    fn deliver(self: &Arc<Self>, whom: Whom, answer: Answer) -> Option<Answer> {
        match whom {
            Whom::Here(slot) => slot.fill(answer),
            Whom::There(remote) => return remote.send(Some(self), answer),
            // A post's answer says nothing that anybody waits for.
            Whom::Nobody => return Some(answer),
        }
        None
    }

    /// Serves a connection to its end, in a task at home.
    ///
    /// # Errors
    /// When there can be no such task.
    pub(super) fn attach(self: &Arc<Self>, socket: OwnedFd) -> io::Result<()> {
        let remote = Remote::new(self.enter(), Arc::new(Wire::new(socket)));
        let (server, client) = (self.clone(), remote.client);
        self.lock().remotes.insert(client, remote.clone());
        let serve = move || server.serve(&remote);
        let served = home::spawn("server of a shared object", serve);
        served.map(drop).inspect_err(|_| self.leave(client))
    }

    /// To the end of the connection.
    fn serve(self: &Arc<Self>, remote: &Arc<Remote>) {
        let mut incoming = Incoming::new(LONGEST);
        while let Ok(Some(frame)) = incoming.recv(&remote.wire, Limit::Never) {
            match frame.kind {
                ATTACH => {
                    for socket in frame.parcel.descriptors {
                        if let Err(error) = self.attach(socket) {
                            log::warn!("a process cannot be served: {error}");
                        }
                    }
                }
                _ => self.hear(remote, frame),
            }
        }
        self.leave(remote.client);
    }

    /// Takes what a client in another process says about this object.
    pub(in crate::ipc) fn hear(self: &Arc<Self>, remote: &Arc<Remote>, frame: Frame) {
        let ticket = Ticket {
            client: remote.client,
            number: frame.number,
        };
        match frame.kind {
            GIVE_UP => self.give_up(ticket),
            TAKE_BACK => self.take_back(late(ticket, frame.parcel)),
            what => {
                let call = Call {
                    what,
                    parcel: frame.parcel,
                };
                self.step(|inner, answers| {
                    let known = inner.remotes.entry(remote.client);
                    known.or_insert_with(|| remote.clone());
                    inner.object.call(ticket, call, answers);
                    let is_said = answers.said.iter().any(|answer| answer.ticket == ticket);
                    if !is_said && !is_post(ticket.number) {
                        inner.pending.insert(ticket);
                    }
                });
            }
        }
    }

    /// The object is no more: whoever waits is told, and whoever comes.
    pub(in crate::ipc) fn close(self: &Arc<Self>) {
        self.step(|inner, answers| {
            // Release: pairs with the look of those who have found it before.
            self.is_closed.store(true, Ordering::Release);
            inner.object = Box::new(Vacant);
            for ticket in std::mem::take(&mut inner.pending) {
                answers.say(ticket, NOBODY);
            }
            for ticket in inner.locals.keys() {
                answers.say(*ticket, NOBODY);
            }
        });
    }

    pub(in crate::ipc) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// What is where an object was.
struct Vacant;

impl Object for Vacant {
    fn call(&mut self, from: Ticket, _call: Call, answers: &mut Answers) {
        answers.say(from, NOBODY);
    }

    fn give_up(&mut self, _ticket: Ticket, _answers: &mut Answers) {}

    fn leave(&mut self, _client: ClientId, _answers: &mut Answers) {}

    fn take_back(&mut self, _answer: Answer, _answers: &mut Answers) {}
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
        if !self.pending.is_empty() {
            self.pending.remove(&answer.ticket);
        }
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
