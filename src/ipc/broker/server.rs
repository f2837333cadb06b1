//! Serves an object to its own process and to others.
//!
//! One lock is round the object and the list of its clients. A call is put to the object inside; the answers it
//! brings about are delivered outside, each to its client: to a waiter here by its slot, to another process by its
//! socket (`remote`). What a call wants done outside, which is a user's code, a task of its own sees to.
//!
//! A connection that leads to this object alone is heard by a task at home, or by whoever has to know what has been said
//! there (`ears`). One that leads to all objects of a manager is heard by the manager.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::blocking::unblock;
use crate::ipc::home;
use crate::ipc::link::{Frame, Wire};
use crate::ipc::parcel::Parcel;
use crate::sync::Event;

use super::ears::{Ears, News};
use super::object::{Answer, Answers, Call, ClientId, Job, Object, Ticket};
use super::page::Page;
use super::queue::QueueMachine;
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

/// The same: the caller asks for its own number.
pub(super) const WHO: u8 = 252;

/// An object that is served.
pub(in crate::ipc) struct Server {
    inner: Mutex<Inner>,
    /// Set once, inside the lock.
    is_closed: AtomicBool,
    /// Locked before `inner`, never while it is.
    ears: Mutex<Ears>,
    /// Set once, when the first handle goes to another process, of an object that has one.
    page: OnceLock<Arc<Page>>,
    /// How many puts have been acted on for which nobody waited.
    heard: AtomicU32,
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
            ears: Mutex::default(),
            page: OnceLock::new(),
            heard: AtomicU32::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn page(&self) -> Option<&Page> {
        self.page.get().map(|page| &**page)
    }

    pub(super) fn count_heard(&self) -> u32 {
        // Acquire: pairs with the release of `heed`, whose deeds are seen then.
        self.heard.load(Ordering::Acquire)
    }

    /// A number for one more user.
    pub(super) fn enter(&self) -> ClientId {
        let mut inner = self.lock();
        inner.clients += 1;
        inner.clients
    }

    /// Puts a call of this process: the answer, or the slot to which it will come.
    pub(super) fn call(self: &Arc<Self>, ticket: Ticket, call: Call) -> Result<Answer, Arc<Slot>> {
        match call.what {
            QueueMachine::SHUT_DOWN => self.hear_last(),
            _ => self.hear_sent(),
        }
        let mut result = None;
        self.step(|inner, answers| {
            inner.object.call(ticket, call, answers);
            let own = answers.said.iter().position(|it| it.ticket == ticket);
            result = Some(match own {
                Some(at) => Ok(answers.said.remove(at)),
                None => {
                    let slot = Arc::new(Slot::default());
                    inner.locals.insert(ticket, slot.clone());
                    Err(slot)
                }
            });
        });
        let Some(result) = result else {
            unreachable!("the step was taken");
        };
        result
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

    /// The same of several, in the order in which they were given.
    pub(super) fn take_back_all(self: &Arc<Self>, returned: Vec<Answer>) {
        self.step(|inner, answers| inner.object.take_back_all(returned, answers));
    }

    /// A user is gone.
    pub(in crate::ipc) fn leave(self: &Arc<Self>, client: ClientId) {
        self.step(|inner, answers| inner.leave(client, answers));
    }

    /// Has the object do something, and delivers what it answers.
    fn step(self: &Arc<Self>, f: impl FnOnce(&mut Inner, &mut Answers)) {
        let due = self.decide(f);
        self.deliver_all(due);
    }

    /// Has the object do something.
    fn decide(&self, f: impl FnOnce(&mut Inner, &mut Answers)) -> Due {
        let mut answers = Answers::default();
        let mut inner = self.lock();
        f(&mut inner, &mut answers);
        let said = answers.said.into_iter();
        Due {
            answers: said.map(|answer| inner.addressed(answer)).collect(),
            jobs: answers.jobs,
        }
    }

    fn deliver_all(self: &Arc<Self>, mut due: Due) {
        while !due.answers.is_empty() || !due.jobs.is_empty() {
            due.jobs.into_iter().for_each(|job| self.begin(job));
            let returned: Vec<Answer> = due
                .answers
                .into_iter()
                .filter_map(|(whom, answer)| self.deliver(whom, answer))
                .collect();
            if returned.is_empty() {
                return;
            }
            due = self.decide(|inner, answers| inner.object.take_back_all(returned, answers));
        }
    }

    /// Does what was heard, in the right order, and lets others hear while the answers are delivered.
    pub(super) fn heed(self: &Arc<Self>, mut ears: MutexGuard<'_, Ears>, mut news: News) {
        news.sort();
        let ahead = news.count_ahead();
        for socket in std::mem::take(&mut news.sockets) {
            if let Err(error) = self.attach_to(&mut ears, socket, None) {
                log::warn!("a process cannot be served: {error}");
            }
        }
        let due = self.decide(|inner, answers| {
            for (remote, frame) in news.frames {
                inner.take(&remote, frame, answers);
            }
        });
        // Release: see `count_heard`.
        self.heard.fetch_add(ahead, Ordering::Release);
        drop(ears);
        self.deliver_all(due);
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

    /// Serves a connection to its end, in a task at home. Its client's page and slot there, if it can go ahead.
    ///
    /// # Errors
    /// When there can be no such task.
    pub(super) fn attach(
        self: &Arc<Self>,
        socket: OwnedFd,
    ) -> io::Result<Option<(Arc<Page>, usize)>> {
        if self.page.get().is_none()
            && let Some(page) = self.lock().object.page()
        {
            let _ = self.page.set(page);
        }
        let page = self.page.get();
        let slot = self.attach_to(&mut self.ears(), socket, page)?;
        Ok(page.cloned().zip(slot))
    }

    fn attach_to(
        self: &Arc<Self>,
        ears: &mut Ears,
        socket: OwnedFd,
        page: Option<&Arc<Page>>,
    ) -> io::Result<Option<usize>> {
        let remote = Remote::new(self.enter(), Arc::new(Wire::new(socket)));
        let slot = ears.add(remote.clone(), page.map(|page| &**page));
        let client = remote.client;
        self.lock().remotes.insert(client, remote.clone());
        let server = self.clone();
        let serve = move || Stay { server, remote }.serve();
        let served = home::spawn("server of a shared object", serve);
        served.inspect_err(|_| {
            ears.remove(client);
            self.leave(client);
        })?;
        Ok(slot)
    }

    /// Takes what a client in another process says about this object.
    pub(in crate::ipc) fn hear(self: &Arc<Self>, remote: &Arc<Remote>, frame: Frame) {
        self.step(|inner, answers| inner.take(remote, frame, answers));
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

/// Tells a client its number.
fn who(ticket: Ticket) -> Answer {
    let Call { what, parcel } = Call::number(WHO, ticket.client);
    Answer {
        ticket,
        what,
        parcel,
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

/// What is left to be done outside of the lock.
struct Due {
    answers: Vec<(Whom, Answer)>,
    jobs: Vec<Job>,
}

/// A client that has a connection to this object alone. At its end, also if that is a panic, all it held is let go of.
struct Stay {
    server: Arc<Server>,
    remote: Arc<Remote>,
}

impl Stay {
    fn serve(self) {
        let listen = || self.server.listen(self.remote.client);
        while self.remote.wire.listen(listen).is_ok() {}
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.remote.wire.hang_up();
        self.server.ears().remove(self.remote.client);
        self.server.leave(self.remote.client);
    }
}

impl Inner {
    /// What a client says.
    fn take(&mut self, remote: &Arc<Remote>, frame: Frame, answers: &mut Answers) {
        let ticket = Ticket {
            client: remote.client,
            number: frame.number,
        };
        match frame.kind {
            GIVE_UP => self.object.give_up(ticket, answers),
            WHO => answers.said.push(who(ticket)),
            TAKE_BACK => self.object.take_back(late(ticket, frame.parcel), answers),
            what => {
                let call = Call {
                    what,
                    parcel: frame.parcel,
                };
                let known = self.remotes.entry(remote.client);
                known.or_insert_with(|| remote.clone());
                let before = answers.said.len();
                self.object.call(ticket, call, answers);
                let said = &answers.said[before..];
                let is_said = said.iter().any(|answer| answer.ticket == ticket);
                if !is_said && !Ticket::is_post(ticket.number) {
                    self.pending.insert(ticket);
                }
            }
        }
    }

    fn leave(&mut self, client: ClientId, answers: &mut Answers) {
        self.remotes.remove(&client);
        self.locals.retain(|ticket, _| ticket.client != client);
        self.pending.retain(|ticket| ticket.client != client);
        self.object.leave(client, answers);
    }

    fn addressed(&mut self, answer: Answer) -> (Whom, Answer) {
        if !self.pending.is_empty() {
            self.pending.remove(&answer.ticket);
        }
        let whom = match self.remotes.get(&answer.ticket.client) {
            Some(_) if Ticket::is_post(answer.ticket.number) => Whom::Nobody,
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
