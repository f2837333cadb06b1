//! A shared object as a machine: calls in, answers out.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::ipc::codec::CodecError;
use crate::ipc::parcel::Parcel;

use super::page::Page;
use super::work::Outcome;

/// A user of an object: the process that serves it, or the far end of a connection.
pub(in crate::ipc) type ClientId = u64;

/// One call: whose, and which of his.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ipc) struct Ticket {
    pub(in crate::ipc) client: ClientId,
    pub(in crate::ipc) number: u64,
}

/// Numbers of calls that have no answer end in this.
const POST: u32 = u32::MAX;

impl Ticket {
    /// The number of a call to which nobody waits for an answer. The upper half says which object of a manager is
    /// meant, or the stamp of a put.
    pub(super) fn post(upper: u32) -> u64 {
        u64::from(upper) << 32 | u64::from(POST)
    }

    /// Whether nobody waits for an answer to the call of this number.
    pub(super) fn is_post(number: u64) -> bool {
        number as u32 == POST
    }

    /// The stamp of a put with this number that nobody waits for.
    pub(super) fn stamp_in(number: u64) -> Option<u32> {
        Ticket::is_post(number).then_some((number >> 32) as u32)
    }
}

/// What is asked of an object. The meaning of `what` is the object's own.
#[derive(Debug)]
pub(in crate::ipc) struct Call {
    pub(in crate::ipc) what: u8,
    pub(in crate::ipc) parcel: Parcel,
}

impl Call {
    /// A call that says no more than what it is.
    pub(in crate::ipc) fn plain(what: u8) -> Call {
        Call {
            what,
            parcel: Parcel::default(),
        }
    }

    /// A call that says a number as well.
    pub(in crate::ipc) fn number(what: u8, number: u64) -> Call {
        let bytes = number.to_le_bytes().to_vec();
        let parcel = Parcel {
            bytes,
            ..Parcel::default()
        };
        Call { what, parcel }
    }

    /// The number in such a call; 0 in another.
    pub(in crate::ipc) fn as_number(&self) -> u64 {
        as_number(&self.parcel)
    }
}

fn as_number(parcel: &Parcel) -> u64 {
    let bytes = parcel.bytes.first_chunk().copied();
    bytes.map_or(0, u64::from_le_bytes)
}

/// What an object says to a call.
#[derive(Debug)]
pub(in crate::ipc) struct Answer {
    pub(in crate::ipc) ticket: Ticket,
    pub(in crate::ipc) what: u8,
    pub(in crate::ipc) parcel: Parcel,
}

impl Answer {
    pub(in crate::ipc) fn as_number(&self) -> u64 {
        as_number(&self.parcel)
    }

    /// # Errors
    /// When it is no such value.
    pub(in crate::ipc) fn value<T: DeserializeOwned>(self) -> Result<T, CodecError> {
        self.parcel.unpack()
    }
}

/// What a call has brought about: answers, to it or to others, and work.
#[derive(Default)]
pub(in crate::ipc) struct Answers {
    pub(in crate::ipc) said: Vec<Answer>,
    /// To be done outside of the lock, each to come back by [`Object::done`].
    pub(in crate::ipc) jobs: Vec<Job>,
}

/// Work with a user's code in it, which may wait, panic, or never end.
pub(in crate::ipc) type Job = Box<dyn FnOnce() -> Outcome + Send>;

impl Answers {
    pub(in crate::ipc) fn say(&mut self, ticket: Ticket, what: u8) {
        self.say_with(ticket, what, Parcel::default());
    }

    pub(in crate::ipc) fn say_number(&mut self, ticket: Ticket, what: u8, number: u64) {
        self.say_with(ticket, what, Call::number(what, number).parcel);
    }

    pub(in crate::ipc) fn say_with(&mut self, ticket: Ticket, what: u8, parcel: Parcel) {
        self.said.push(Answer {
            ticket,
            what,
            parcel,
        });
    }
}

/// A shared object. Every call gets exactly one answer, unless its client leaves first.
pub(in crate::ipc) trait Object: Send + 'static {
    /// Answers the call, now or in a later one.
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers);

    /// The caller does not want to wait any longer. Answers it if that has not been done yet.
    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers);

    /// The client is gone: nothing it waits for will be asked for, and what it held is free.
    fn leave(&mut self, client: ClientId, answers: &mut Answers);

    /// An answer could not be delivered: what it gave away is to be taken back.
    fn take_back(&mut self, answer: Answer, answers: &mut Answers);

    /// The same of several, in the order in which they were given.
    fn take_back_all(&mut self, returned: Vec<Answer>, answers: &mut Answers) {
        for answer in returned {
            self.take_back(answer, answers);
        }
    }

    /// The page of an object whose puts need no answer, which is marked when there can be no more of them.
    fn page(&mut self) -> Option<Arc<Page>> {
        None
    }

    /// A job of this object is over. Objects without jobs have nothing to do here.
    fn done(&mut self, _outcome: Outcome, _answers: &mut Answers) {}
}
