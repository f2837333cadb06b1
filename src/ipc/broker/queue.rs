//! The queue as a machine, with its account of what is done.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::ipc::parcel::Parcel;

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};
use super::page::Page;

/// Invariants between calls: getters wait only if there are no items; putters wait only if the items fill the
/// capacity, and while it is open.
#[derive(Debug)]
pub(in crate::ipc) struct QueueMachine {
    items: VecDeque<Parcel>,
    /// `usize::MAX` when unbounded.
    capacity: usize,
    getters: VecDeque<Ticket>,
    putters: VecDeque<(Ticket, Parcel)>,
    /// Items put that nobody has reported done.
    unfinished: u64,
    joiners: Vec<Ticket>,
    is_shut: bool,
    /// Marked with `is_shut`. There is none until another process is to know the queue, and never one of a queue that
    /// may be full.
    page: Option<Arc<Page>>,
    /// Stamps of puts that nobody waited for, and that came when it was shut.
    refused: HashSet<(ClientId, u32)>,
}

impl QueueMachine {
    /// Answered `DONE` when there is room, `LATE`, or `SHUT`.
    pub(in crate::ipc) const PUT: u8 = 1;
    /// The same at once.
    pub(in crate::ipc) const TRY_PUT: u8 = 2;
    /// Answered `ITEM`, `LATE` or `SHUT`.
    pub(in crate::ipc) const GET: u8 = 3;
    /// The same at once.
    pub(in crate::ipc) const TRY_GET: u8 = 4;
    /// An item is done: answered `DONE`, or `LATE` when there is none to be done.
    pub(in crate::ipc) const FINISH: u8 = 5;
    /// Answered `DONE` when all items are done, or `LATE`.
    pub(in crate::ipc) const JOIN: u8 = 6;
    /// No more puts; with the number 1, the items are dropped as well: answered `DONE`.
    pub(in crate::ipc) const SHUT_DOWN: u8 = 7;
    /// Answered `COUNT`.
    pub(in crate::ipc) const LOOK: u8 = 8;
    /// What became of the put with the stamp that is given, for which its sender has not waited: answered `DONE` or
    /// `SHUT`.
    pub(in crate::ipc) const ASK: u8 = 9;

    pub(in crate::ipc) const DONE: u8 = 10;
    pub(in crate::ipc) const LATE: u8 = 11;
    pub(in crate::ipc) const SHUT: u8 = 12;
    pub(in crate::ipc) const ITEM: u8 = 13;
    pub(in crate::ipc) const COUNT: u8 = 14;

    pub(in crate::ipc) fn new(capacity: usize) -> Self {
        QueueMachine {
            items: VecDeque::new(),
            capacity,
            getters: VecDeque::new(),
            putters: VecDeque::new(),
            unfinished: 0,
            joiners: Vec::new(),
            is_shut: false,
            page: None,
            refused: HashSet::new(),
        }
    }

    fn put(&mut self, parcel: Parcel, answers: &mut Answers) {
        self.unfinished += 1;
        match self.getters.pop_front() {
            Some(getter) => answers.say_with(getter, Self::ITEM, parcel),
            None => self.items.push_back(parcel),
        }
    }

    fn get(&mut self, from: Ticket, answers: &mut Answers) -> bool {
        let Some(item) = self.items.pop_front() else {
            return false;
        };
        answers.say_with(from, Self::ITEM, item);
        self.refill(answers);
        true
    }

    /// There may be room: putters go on.
    fn refill(&mut self, answers: &mut Answers) {
        while self.items.len() < self.capacity
            && let Some((putter, parcel)) = self.putters.pop_front()
        {
            self.put(parcel, answers);
            answers.say(putter, Self::DONE);
        }
    }

    fn finish(&mut self, count: u64, answers: &mut Answers) {
        // Some of them may have been reported done before anybody took them.
        self.unfinished = self.unfinished.saturating_sub(count);
        if self.unfinished == 0 {
            for joiner in self.joiners.drain(..) {
                answers.say(joiner, Self::DONE);
            }
        }
    }

    fn shut_down(&mut self, is_immediate: bool, answers: &mut Answers) {
        self.is_shut = true;
        if let Some(page) = &self.page {
            page.shut();
        }
        for (putter, _) in self.putters.drain(..) {
            answers.say(putter, Self::SHUT);
        }
        if is_immediate {
            let dropped = self.items.len() as u64;
            self.items.clear();
            self.finish(dropped, answers);
        }
        if self.items.is_empty() {
            for getter in self.getters.drain(..) {
                answers.say(getter, Self::SHUT);
            }
        }
    }
}

impl Object for QueueMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        match call.what {
            Self::PUT | Self::TRY_PUT if self.is_shut => {
                if let Some(stamp) = Ticket::stamp_in(from.number) {
                    self.refused.insert((from.client, stamp));
                }
                answers.say(from, Self::SHUT);
            }
            Self::PUT | Self::TRY_PUT if self.items.len() < self.capacity => {
                self.put(call.parcel, answers);
                answers.say(from, Self::DONE);
            }
            Self::PUT => self.putters.push_back((from, call.parcel)),
            Self::GET | Self::TRY_GET if self.get(from, answers) => {}
            Self::GET | Self::TRY_GET if self.is_shut => answers.say(from, Self::SHUT),
            Self::GET => self.getters.push_back(from),
            Self::FINISH if self.unfinished > 0 => {
                self.finish(1, answers);
                answers.say(from, Self::DONE);
            }
            Self::JOIN if self.unfinished == 0 => answers.say(from, Self::DONE),
            Self::JOIN => self.joiners.push(from),
            Self::SHUT_DOWN => {
                self.shut_down(call.as_number() != 0, answers);
                answers.say(from, Self::DONE);
            }
            Self::ASK => {
                let put = (from.client, call.as_number() as u32);
                let was_refused = self.refused.remove(&put);
                answers.say(from, if was_refused { Self::SHUT } else { Self::DONE });
            }
            Self::LOOK => answers.say_number(from, Self::COUNT, self.items.len() as u64),
            _ => answers.say(from, Self::LATE),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        let waiting = self.getters.len() + self.putters.len() + self.joiners.len();
        self.getters.retain(|other| *other != ticket);
        self.putters.retain(|(other, _)| *other != ticket);
        self.joiners.retain(|other| *other != ticket);
        if self.getters.len() + self.putters.len() + self.joiners.len() < waiting {
            answers.say(ticket, Self::LATE);
        }
    }

    fn leave(&mut self, client: ClientId, _answers: &mut Answers) {
        self.getters.retain(|ticket| ticket.client != client);
        self.putters.retain(|(ticket, _)| ticket.client != client);
        self.joiners.retain(|ticket| ticket.client != client);
        self.refused.retain(|(other, _)| *other != client);
    }

    fn take_back(&mut self, answer: Answer, answers: &mut Answers) {
        self.take_back_all(vec![answer], answers);
    }

    fn take_back_all(&mut self, returned: Vec<Answer>, answers: &mut Answers) {
        // They were the oldest, and nobody has had them.
        for answer in returned.into_iter().rev() {
            if answer.what == Self::ITEM {
                self.items.push_front(answer.parcel);
            }
        }
        while !self.items.is_empty()
            && let Some(getter) = self.getters.pop_front()
        {
            self.get(getter, answers);
        }
    }

    fn page(&mut self) -> Option<Arc<Page>> {
        if self.page.is_none() && self.capacity == usize::MAX {
            match Page::new() {
                Ok(page) => self.page = Some(Arc::new(page)),
                Err(error) => log::debug!("puts into a queue wait for their answers: {error}"),
            }
            if let (Some(page), true) = (&self.page, self.is_shut) {
                page.shut();
            }
        }
        self.page.clone()
    }
}
