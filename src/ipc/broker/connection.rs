//! A connection to an object that another process serves, or to all objects of a manager.
//!
//! The waiters of one connection share it: one of them reads for all (`waiters`).
//!
//! At a deadline, and when it unwinds, a waiter says that it gives up, and is answered at once. So whether it was in time
//! is decided in one place, and what it was given all the same it gives back. A server that does not say anything, for it
//! is stopped, is left: a task at home waits in the waiter's stead.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::io::Limit;
use crate::ipc::home;
use crate::ipc::line::{Line, Tally};
use crate::ipc::link::{Incoming, Outgoing, Wire};
use crate::ipc::parcel::{LONGEST, Parcel};
use crate::scheduler::park;
use crate::task::shield;

use super::client::{Gone, unsent};
use super::object::{Answer, Call, Ticket};
use super::page::Ahead;
use super::queue::QueueMachine;
use super::server::{GIVE_UP, NOBODY, Slot, TAKE_BACK};
use super::waiters::{Bell, Waiters};

/// A waiter whose time is over waits so much longer for a server to say so.
const GRACE: Duration = Duration::from_millis(20);

pub(in crate::ipc) struct Connection {
    line: Arc<Line>,
    waiting: Waiters<Slot>,
    is_gone: AtomicBool,
    /// Of the last call.
    last: AtomicU32,
    /// How long a server that was told of a waiter's going may take to answer that: after it, it is as good as dead.
    patience: Option<Duration>,
    /// Where puts need not wait for their answers.
    ahead: Option<Arc<Ahead>>,
}

/// What came of a call whose good news need not be waited for.
pub(in crate::ipc) enum Told {
    /// It will be well, or the object is lost.
    Ahead,
    Answered(Answer),
}

impl Connection {
    pub(super) fn new(wire: Wire, patience: Option<Duration>, ahead: Option<Ahead>) -> Connection {
        let ahead = ahead.map(Arc::new);
        let tally = ahead.clone().map(|ahead| ahead as Arc<dyn Tally>);
        Connection {
            line: Line::counting(wire, Incoming::new(LONGEST), tally),
            waiting: Waiters::new(),
            is_gone: AtomicBool::new(false),
            last: AtomicU32::new(0),
            patience,
            ahead,
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
    pub(super) fn send(&self, what: u8, number: u64, parcel: Parcel) -> Result<(), Gone> {
        let outgoing = Outgoing::new(what, number, parcel).map_err(|_| Gone)?;
        shield(|| self.line.send(outgoing, Limit::Never)).map_err(|_| Gone)
    }

    #[track_caller]
    pub(super) fn post(&self, object: u32, call: Call) -> Result<(), Gone> {
        self.send(call.what, Ticket::post(object), call.parcel)
    }

    #[track_caller]
    pub(super) fn give_back(&self, answer: Answer) {
        let mut bytes = vec![answer.what];
        bytes.extend(answer.parcel.bytes);
        let parcel = Parcel {
            bytes,
            descriptors: answer.parcel.descriptors,
        };
        let _ = self.send(TAKE_BACK, answer.ticket.number, parcel);
    }

    /// Puts an item, and waits for nothing but room in the socket where the page allows that: see there.
    #[track_caller]
    pub(super) fn tell(self: &Arc<Self>, call: Call, limit: Limit) -> Result<Told, Gone> {
        let ahead = match &self.ahead {
            Some(ahead) if !ahead.page.is_shut() => ahead,
            _ => return self.call(0, call, limit, false).map(Told::Answered),
        };
        let stamp = ahead.page.stamp();
        let outgoing = Outgoing::new(call.what, Ticket::post(stamp), call.parcel);
        match self.line.send_counted(outgoing.map_err(|_| Gone)?, limit) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Ok(Told::Answered(unsent(0)));
            }
            Err(_) => return Err(Gone),
        }
        if !ahead.page.is_shut() {
            return Ok(Told::Ahead);
        }
        let ask = Call::number(QueueMachine::ASK, u64::from(stamp));
        self.call(0, ask, Limit::Never, false).map(Told::Answered)
    }

    /// `may_leave`: what it is given can be given back, so that it need not be waited for when the time is over.
    #[track_caller]
    pub(super) fn call(
        self: &Arc<Self>,
        object: u32,
        call: Call,
        limit: Limit,
        may_leave: bool,
    ) -> Result<Answer, Gone> {
        let slot = Arc::new(Slot::default());
        // After four thousand million calls a number may still be somebody's.
        let number = loop {
            let number = self.number(object);
            if !Ticket::is_post(number) && self.waiting.enter(number, &slot) {
                break number;
            }
        };
        let mut wait = WaitThere {
            connection: self,
            number,
            slot,
            is_sent: Cell::new(false),
            has_given_up: false,
            is_over: false,
            is_left: false,
            is_substitute: false,
        };
        let outgoing = Outgoing::new(call.what, number, call.parcel).map_err(|_| Gone)?;
        match self.line.send_noting(outgoing, limit, &wait.is_sent) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(unsent(number)),
            Err(_) => return Err(Gone),
        }
        let mut answer = wait.wait(limit);
        if matches!(answer, Ok(None)) {
            answer = wait.give_up(may_leave);
            if matches!(answer, Ok(None)) {
                return Ok(unsent(number));
            }
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
    connection: &'a Arc<Connection>,
    number: u64,
    slot: Arc<Slot>,
    /// Sent, or perhaps sent: an answer will come.
    is_sent: Cell<bool>,
    /// The server has been told, or will be.
    has_given_up: bool,
    /// The answer was taken, or none will come to this one.
    is_over: bool,
    /// Another waits in its stead.
    is_left: bool,
    /// This is that other one.
    is_substitute: bool,
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

    /// Says that it will not wait any longer, and waits for the answer to that; `None` when it has been left to a task.
    #[track_caller]
    fn give_up(&mut self, may_leave: bool) -> Result<Option<Answer>, Gone> {
        if may_leave {
            match self.try_give_up(Limit::At(park::deadline(GRACE))) {
                Ok(None) if self.leave() => return Ok(None),
                Ok(Some(answer)) => return Ok(Some(answer)),
                _ => {}
            }
        }
        let connection = self.connection;
        let limit = connection
            .patience
            .map_or(Limit::Never, |patience| Limit::At(park::deadline(patience)));
        let answer = self.try_give_up(limit);
        if !matches!(answer, Ok(Some(_))) {
            // A server that says nothing at all is one that nobody should go on waiting for.
            connection.hang_up();
            return Err(Gone);
        }
        answer
    }

    #[track_caller]
    fn try_give_up(&mut self, limit: Limit) -> Result<Option<Answer>, Gone> {
        if !self.has_given_up {
            self.say_so()?;
            self.has_given_up = true;
        }
        self.wait(limit)
    }

    /// Where there is no room for the word a task waits for that: this one is to read meanwhile, for there may be none
    /// before somebody has read.
    #[track_caller]
    fn say_so(&self) -> Result<(), Gone> {
        let (line, number) = (self.connection.line.clone(), self.number);
        match line.send(
            Outgoing::plain(GIVE_UP, number),
            Limit::Within(Duration::ZERO),
        ) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let later = move || drop(line.send(Outgoing::plain(GIVE_UP, number), Limit::Never));
                let task = home::spawn("a call that is given up", later);
                task.map(drop).map_err(|_| Gone)
            }
            said => said.map_err(|_| Gone),
        }
    }

    /// Has a task wait in its stead, and give back what it is given; whether there is one.
    fn leave(&mut self) -> bool {
        let (connection, number, slot) = (self.connection.clone(), self.number, self.slot.clone());
        let has_given_up = self.has_given_up;
        // What is to be done then is done by its destructor.
        let wait = move || {
            drop(WaitThere {
                connection: &connection,
                number,
                slot,
                is_sent: Cell::new(true),
                has_given_up,
                is_over: false,
                is_left: false,
                is_substitute: true,
            });
        };
        self.is_left = home::spawn("an answer that comes too late", wait).is_ok();
        self.is_over = self.is_left;
        self.is_left
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
        // Unwound, or the connection broke; or it waits in another's stead.
        if self.is_sent.get()
            && !self.is_over
            && let Ok(Some(answer)) = self.give_up(!self.is_substitute)
        {
            self.connection.give_back(answer);
        }
        if !self.is_left {
            let _ = self.connection.waiting.leave(self.number);
        }
    }
}

impl Bell for Slot {
    fn ring(&self) {
        self.filled.set();
    }
}
