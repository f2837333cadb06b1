//! The list as a machine: encoded items by their indices.

use super::data::{Data, parcel, say};
use super::object::{Answer, Answers, Call, Ticket};
use super::work::{Bytes, Parts, Subject, add_part, sequence};

#[derive(Debug, Default)]
pub(in crate::ipc) struct ListData {
    items: Vec<Bytes>,
}

impl ListData {
    /// An item: answered `DONE`.
    pub(in crate::ipc) const PUSH: u8 = 10;
    /// The last item: answered `TAKEN` or `NONE`.
    pub(in crate::ipc) const POP: u8 = 11;
    /// Items, each with its length: answered `DONE`.
    pub(in crate::ipc) const EXTEND: u8 = 12;
    /// Answered `COUNT`.
    pub(in crate::ipc) const LEN: u8 = 13;
    /// Answered `DONE`.
    pub(in crate::ipc) const CLEAR: u8 = 14;
    /// An item: answered `COUNT`, the index of the first like it, or `NONE`.
    pub(in crate::ipc) const FIND: u8 = 15;

    // An index behind its length, and more.

    /// Answered `VALUE` or `NONE`.
    pub(in crate::ipc) const GET: u8 = 20;
    /// An item: answered `VALUE`, the one before, or `NONE`.
    pub(in crate::ipc) const SET: u8 = 21;
    /// An item: answered `DONE`, or `NONE` when there is no such index.
    pub(in crate::ipc) const INSERT: u8 = 22;
    /// Answered `TAKEN` or `NONE`.
    pub(in crate::ipc) const REMOVE: u8 = 23;
    /// A second index, up to which: answered `MANY`, of those that are there.
    pub(in crate::ipc) const RANGE: u8 = 24;
    /// A second index, with whose item it is exchanged: answered `DONE` or `NONE`.
    pub(in crate::ipc) const SWAP: u8 = 25;
    /// What is behind it goes: answered `DONE`.
    pub(in crate::ipc) const TRUNCATE: u8 = 26;

    fn extend(&mut self, body: &[u8]) -> Option<()> {
        let mut parts = Parts(body);
        let mut items = Vec::new();
        while !parts.is_over() {
            items.push(parts.next()?.to_vec());
        }
        self.items.extend(items);
        Some(())
    }

    fn indexed(&mut self, from: Ticket, call: &Call, answers: &mut Answers) -> Option<()> {
        let mut parts = Parts(&call.parcel.bytes);
        let index = usize::try_from(parts.number()?).ok()?;
        let length = self.items.len();
        match call.what {
            Self::GET => match self.items.get(index) {
                Some(item) => answers.say_with(from, say::VALUE, parcel(item.clone())),
                None => answers.say(from, say::NONE),
            },
            Self::SET => match self.items.get_mut(index) {
                Some(item) => {
                    let before = std::mem::replace(item, parts.0.to_vec());
                    answers.say_with(from, say::VALUE, parcel(before));
                }
                None => answers.say(from, say::NONE),
            },
            Self::INSERT if index <= length => {
                self.items.insert(index, parts.0.to_vec());
                answers.say(from, say::DONE);
            }
            Self::REMOVE if index < length => {
                say_taken(from, index, self.items.remove(index), answers);
            }
            Self::RANGE => {
                let end = usize::try_from(parts.number()?).ok()?.min(length);
                let range = self.items.get(index..end).unwrap_or_default();
                let items = sequence(range.len(), range.iter().map(Vec::as_slice));
                answers.say_with(from, say::MANY, parcel(items));
            }
            Self::SWAP => {
                let other = usize::try_from(parts.number()?).ok()?;
                let is_there = index < length && other < length;
                if is_there {
                    self.items.swap(index, other);
                }
                answers.say(from, if is_there { say::DONE } else { say::NONE });
            }
            Self::TRUNCATE => {
                self.items.truncate(index);
                answers.say(from, say::DONE);
            }
            Self::INSERT | Self::REMOVE => answers.say(from, say::NONE),
            _ => return None,
        }
        Some(())
    }
}

/// With its index before it, for the way back.
fn say_taken(from: Ticket, index: usize, item: Bytes, answers: &mut Answers) {
    let mut body = Bytes::with_capacity(12 + item.len());
    add_part(&mut body, &(index as u64).to_le_bytes());
    body.extend(item);
    answers.say_with(from, say::TAKEN, parcel(body));
}

impl Data for ListData {
    type Place = usize;

    fn call(&mut self, from: Ticket, call: &Call, answers: &mut Answers) -> bool {
        let body = &call.parcel.bytes;
        match call.what {
            Self::PUSH => {
                self.items.push(body.clone());
                answers.say(from, say::DONE);
            }
            Self::POP => match self.items.pop() {
                Some(item) => say_taken(from, self.items.len(), item, answers),
                None => answers.say(from, say::NONE),
            },
            Self::EXTEND => match self.extend(body) {
                Some(()) => answers.say(from, say::DONE),
                None => return false,
            },
            Self::LEN => answers.say_number(from, say::COUNT, self.items.len() as u64),
            Self::CLEAR => {
                self.items.clear();
                answers.say(from, say::DONE);
            }
            Self::FIND => match self.items.iter().position(|item| item == body) {
                Some(index) => answers.say_number(from, say::COUNT, index as u64),
                None => answers.say(from, say::NONE),
            },
            _ => return self.indexed(from, call, answers).is_some(),
        }
        true
    }

    fn part(&self, target: &[u8], _initial: Option<&[u8]>) -> Option<(usize, Bytes)> {
        let index = u64::from_le_bytes(target.try_into().ok()?);
        let index = usize::try_from(index).ok()?;
        Some((index, self.items.get(index)?.clone()))
    }

    fn set_part(&mut self, index: usize, value: Bytes) {
        // Nothing else has touched the list since.
        if let Some(item) = self.items.get_mut(index) {
            *item = value;
        }
    }

    fn whole(&self) -> Subject {
        Subject::Items(self.items.clone())
    }

    fn set_whole(&mut self, whole: Subject) -> bool {
        let Subject::Items(items) = whole else {
            return false;
        };
        self.items = items;
        true
    }

    fn take_back(&mut self, answer: Answer) {
        if answer.what != say::TAKEN {
            return;
        }
        let mut parts = Parts(&answer.parcel.bytes);
        if let Some(index) = parts.number() {
            // Where it was, or at the end of what is left.
            let index =
                usize::try_from(index).map_or(self.items.len(), |at| at.min(self.items.len()));
            self.items.insert(index, parts.0.to_vec());
        }
    }
}
