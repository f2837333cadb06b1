//! Objects that hold values, as machines: what dicts and lists have in common is that functions run on them.
//!
//! A function is given a copy of what it changes, and runs outside of the server's lock. Until it is over, all other
//! calls of its object stand in line, so that each finds the object before or after it. What it has made of the copy
//! takes the original's place at the end, if its caller still waits: one that panics, or comes too late for its caller,
//! has not been.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use crate::ipc::parcel::Parcel;

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};
use super::work::{Bytes, Library, Outcome, Parts, Refusal, Subject};

/// What data says to its calls, and the calls that all data understands.
pub(in crate::ipc) mod say {
    /// A function, a target in the object, an argument: answered `VALUE`, the function's own.
    pub(in crate::ipc) const UPDATE: u8 = 1;
    /// The same with a value behind the target, for a target that is not there.
    pub(in crate::ipc) const UPDATE_OR: u8 = 2;
    /// The same on the whole: a function and an argument.
    pub(in crate::ipc) const UPDATE_ALL: u8 = 3;

    /// With a value behind it.
    pub(in crate::ipc) const VALUE: u8 = 100;
    pub(in crate::ipc) const NONE: u8 = 101;
    pub(in crate::ipc) const DONE: u8 = 102;
    pub(in crate::ipc) const COUNT: u8 = 103;
    /// With a sequence of values.
    pub(in crate::ipc) const MANY: u8 = 104;
    /// With a value that is no longer there, behind where it was.
    pub(in crate::ipc) const TAKEN: u8 = 105;
    pub(in crate::ipc) const LATE: u8 = 106;
    pub(in crate::ipc) const NO_FUNCTION: u8 = 107;
    /// The function is for another sort of object.
    pub(in crate::ipc) const UNFIT: u8 = 108;
    /// With the error of an encoding.
    pub(in crate::ipc) const FAILED: u8 = 109;
    /// With the message of a panic.
    pub(in crate::ipc) const PANICKED: u8 = 110;
    /// The call is none.
    pub(in crate::ipc) const GARBLED: u8 = 111;
}

/// Values, and what is asked of them.
pub(in crate::ipc) trait Data: Send + 'static {
    /// Where a value is.
    type Place: Send + 'static;

    /// Answers a call; false if it is none.
    fn call(&mut self, from: Ticket, call: &Call, answers: &mut Answers) -> bool;

    /// What a target names, and the value there; `None` when nothing is.
    fn part(&self, target: &[u8], initial: Option<&[u8]>) -> Option<(Self::Place, Bytes)>;

    fn set_part(&mut self, place: Self::Place, value: Bytes);

    fn whole(&self) -> Subject;

    /// False when that is no such whole.
    fn set_whole(&mut self, whole: Subject) -> bool;

    /// An answer that gave something away was not wanted.
    fn take_back(&mut self, answer: Answer);
}

pub(in crate::ipc) struct DataMachine<D: Data> {
    data: D,
    library: Arc<Library>,
    /// Calls wait only while this is there.
    running: Option<Running<D::Place>>,
    line: VecDeque<Deferred>,
}

/// A function is at it.
struct Running<P> {
    /// `None` once nobody waits for it.
    caller: Option<Ticket>,
    /// `None` for the whole.
    place: Option<P>,
}

enum Deferred {
    Call(Ticket, Call),
    Back(Answer),
}

impl<D: Data> DataMachine<D> {
    pub(in crate::ipc) fn new(data: D, library: Arc<Library>) -> Self {
        DataMachine {
            data,
            library,
            running: None,
            line: VecDeque::new(),
        }
    }

    fn begin(&mut self, from: Ticket, call: &Call, answers: &mut Answers) {
        let Some(update) = Update::read(call) else {
            return answers.say(from, say::GARBLED);
        };
        let Some(work) = self.library.works.get(update.function).cloned() else {
            return answers.say(from, say::NO_FUNCTION);
        };
        let (place, subject) = match update.target {
            None => (None, self.data.whole()),
            Some(target) => match self.data.part(target, update.initial) {
                Some((place, value)) => (Some(place), Subject::Value(value)),
                None => return answers.say(from, say::NONE),
            },
        };
        self.running = Some(Running {
            caller: Some(from),
            place,
        });
        let argument = update.argument.to_vec();
        let reach = self.library.reach;
        let job = move || work(subject, &argument, reach);
        answers.jobs.push(Box::new(job));
    }

    /// What stood in line goes on, up to the next function.
    fn go_on(&mut self, answers: &mut Answers) {
        while self.running.is_none()
            && let Some(next) = self.line.pop_front()
        {
            match next {
                Deferred::Call(from, call) => self.call(from, call, answers),
                Deferred::Back(answer) => self.data.take_back(answer),
            }
        }
    }

    fn put(&mut self, place: Option<D::Place>, subject: Subject) -> bool {
        match (place, subject) {
            (Some(place), Subject::Value(value)) => {
                self.data.set_part(place, value);
                true
            }
            (None, whole) => self.data.set_whole(whole),
            (Some(_), _) => false,
        }
    }
}

/// A call of a function, taken apart.
struct Update<'a> {
    function: &'a str,
    target: Option<&'a [u8]>,
    initial: Option<&'a [u8]>,
    argument: &'a [u8],
}

impl<'a> Update<'a> {
    fn read(call: &'a Call) -> Option<Update<'a>> {
        let mut parts = Parts(&call.parcel.bytes);
        let function = std::str::from_utf8(parts.next()?).ok()?;
        let target = match call.what {
            say::UPDATE_ALL => None,
            _ => Some(parts.next()?),
        };
        let initial = match call.what {
            say::UPDATE_OR => Some(parts.next()?),
            _ => None,
        };
        Some(Update {
            function,
            target,
            initial,
            argument: parts.0,
        })
    }
}

impl<D: Data> Object for DataMachine<D> {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        match call.what {
            _ if self.running.is_some() => self.line.push_back(Deferred::Call(from, call)),
            say::UPDATE | say::UPDATE_OR | say::UPDATE_ALL => self.begin(from, &call, answers),
            _ if self.data.call(from, &call, answers) => {}
            _ => answers.say(from, say::GARBLED),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        let waiting = self.line.len();
        self.line.retain(|deferred| match deferred {
            Deferred::Call(other, _) => *other != ticket,
            Deferred::Back(_) => true,
        });
        let running = self.running.as_mut();
        let was_running = running.is_some_and(|running| {
            let is_its = running.caller == Some(ticket);
            running.caller.take_if(|_| is_its).is_some()
        });
        if was_running || self.line.len() < waiting {
            answers.say(ticket, say::LATE);
        }
    }

    fn leave(&mut self, client: ClientId, _answers: &mut Answers) {
        self.line.retain(|deferred| match deferred {
            Deferred::Call(ticket, _) => ticket.client != client,
            Deferred::Back(_) => true,
        });
        if let Some(running) = &mut self.running {
            running.caller.take_if(|ticket| ticket.client == client);
        }
    }

    fn take_back(&mut self, answer: Answer, _answers: &mut Answers) {
        match self.running {
            Some(_) => self.line.push_back(Deferred::Back(answer)),
            None => self.data.take_back(answer),
        }
    }

    fn done(&mut self, outcome: Outcome, answers: &mut Answers) {
        let Some(Running { caller, place }) = self.running.take() else {
            return;
        };
        if let Some(caller) = caller {
            match outcome {
                Ok((subject, value)) => match self.put(place, subject) {
                    true => answers.say_with(caller, say::VALUE, parcel(value)),
                    false => answers.say(caller, say::UNFIT),
                },
                Err(Refusal::Unfit) => answers.say(caller, say::UNFIT),
                Err(Refusal::Codec(error)) => say_value(caller, say::FAILED, &error, answers),
                Err(Refusal::Panicked(text)) => say_value(caller, say::PANICKED, &text, answers),
            }
        }
        self.go_on(answers);
    }
}

pub(super) fn parcel(bytes: Bytes) -> Parcel {
    Parcel {
        bytes,
        ..Parcel::default()
    }
}

fn say_value<T: Serialize>(ticket: Ticket, what: u8, value: &T, answers: &mut Answers) {
    match Parcel::pack(value) {
        Ok(parcel) => answers.say_with(ticket, what, parcel),
        Err(_) => unreachable!("texts can be encoded"),
    }
}
