//! The dict as a machine: encoded keys to encoded values, in the order in which the keys came.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::data::{Data, parcel, say};
use super::object::{Answer, Answers, Call, Ticket};
use super::work::{Bytes, Parts, Subject, add_part, sequence};

/// Two keys are the same if their encodings are.
#[derive(Debug, Default)]
pub(in crate::ipc) struct DictData {
    entries: BTreeMap<u64, Entry>,
    /// Exactly the entries' keys, with their places.
    places: HashMap<Arc<[u8]>, u64>,
    /// Of the last entry that came.
    last: u64,
}

#[derive(Debug)]
struct Entry {
    key: Arc<[u8]>,
    value: Bytes,
}

impl DictData {
    // A key, and what is said below: behind its length.

    /// And a value: answered `VALUE`, the one before, or `NONE`.
    pub(in crate::ipc) const INSERT: u8 = 10;
    /// Answered `VALUE` or `NONE`.
    pub(in crate::ipc) const GET: u8 = 11;
    /// Answered `TAKEN` or `NONE`.
    pub(in crate::ipc) const REMOVE: u8 = 12;
    /// Answered `DONE` or `NONE`.
    pub(in crate::ipc) const CONTAINS: u8 = 13;
    /// And a value for a key that is not there: answered `VALUE`, the one that is there now.
    pub(in crate::ipc) const GET_OR: u8 = 14;
    /// And twice a value with a byte before it, 0 for none, the first behind its length: the second takes the place of
    /// the first: answered `DONE`, or `NONE` if the first is not there.
    pub(in crate::ipc) const EXCHANGE: u8 = 15;

    // Without a key.

    /// Answered `COUNT`.
    pub(in crate::ipc) const LEN: u8 = 20;
    /// Answered `MANY`.
    pub(in crate::ipc) const KEYS: u8 = 21;
    /// Answered `MANY`.
    pub(in crate::ipc) const VALUES: u8 = 22;
    /// Answered `MANY`.
    pub(in crate::ipc) const ITEMS: u8 = 23;
    /// Answered `DONE`.
    pub(in crate::ipc) const CLEAR: u8 = 24;
    /// The entry that came last: answered `TAKEN` or `NONE`.
    pub(in crate::ipc) const POP: u8 = 25;
    /// Keys and values, all with their lengths: answered `DONE`.
    pub(in crate::ipc) const EXTEND: u8 = 26;

    /// With one entry.
    pub(in crate::ipc) fn with(key: &[u8], value: Bytes) -> DictData {
        let mut data = DictData::default();
        data.insert(key, value);
        data
    }

    fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let place = self.places.get(key)?;
        Some(&self.entries[place].value)
    }

    fn insert(&mut self, key: &[u8], value: Bytes) -> Option<Bytes> {
        if let Some(place) = self.places.get(key) {
            let entry = self.entries.get_mut(place)?;
            return Some(std::mem::replace(&mut entry.value, value));
        }
        self.last += 1;
        self.insert_at(self.last, key.into(), value);
        None
    }

    fn insert_at(&mut self, place: u64, key: Arc<[u8]>, value: Bytes) {
        self.places.insert(key.clone(), place);
        self.entries.insert(place, Entry { key, value });
    }

    fn remove(&mut self, key: &[u8]) -> Option<(u64, Entry)> {
        let place = self.places.remove(key)?;
        Some((place, self.entries.remove(&place)?))
    }

    fn pop(&mut self) -> Option<(u64, Entry)> {
        let (place, entry) = self.entries.pop_last()?;
        self.places.remove(&entry.key);
        Some((place, entry))
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    fn extend(&mut self, body: &[u8]) -> Option<()> {
        // All of it or nothing: it is read to its end first.
        let mut parts = Parts(body);
        let mut entries = Vec::new();
        while !parts.is_over() {
            entries.push((parts.next()?, parts.next()?));
        }
        for (key, value) in entries {
            self.insert(key, value.to_vec());
        }
        Some(())
    }

    /// Whether it was the one that was expected.
    fn exchange(&mut self, key: &[u8], body: &[u8]) -> Option<bool> {
        let option = |part: &[u8]| match *part {
            [0] => Some(None),
            [1, ..] => Some(Some(part[1..].to_vec())),
            _ => None,
        };
        let mut parts = Parts(body);
        let (current, new) = (option(parts.next()?)?, option(parts.0)?);
        let is_right = self.get(key) == current.as_ref();
        match new {
            _ if !is_right => {}
            Some(value) => drop(self.insert(key, value)),
            None => drop(self.remove(key)),
        }
        Some(is_right)
    }

    fn keyed(&mut self, from: Ticket, call: &Call, answers: &mut Answers) -> Option<()> {
        let mut parts = Parts(&call.parcel.bytes);
        let (key, rest) = (parts.next()?, parts.0);
        let found = match call.what {
            Self::INSERT => self.insert(key, rest.to_vec()),
            Self::GET => self.get(key).cloned(),
            Self::GET_OR => Some(match self.get(key) {
                Some(value) => value.clone(),
                None => {
                    self.insert(key, rest.to_vec());
                    rest.to_vec()
                }
            }),
            Self::REMOVE => {
                say_taken(from, self.remove(key), answers);
                return Some(());
            }
            what => {
                let is_so = match what {
                    Self::CONTAINS => self.places.contains_key(key),
                    Self::EXCHANGE => self.exchange(key, rest)?,
                    _ => return None,
                };
                answers.say(from, if is_so { say::DONE } else { say::NONE });
                return Some(());
            }
        };
        match found {
            Some(value) => answers.say_with(from, say::VALUE, parcel(value)),
            None => answers.say(from, say::NONE),
        }
        Some(())
    }
}

/// With its place and its key before it, for the way back.
fn say_taken(from: Ticket, taken: Option<(u64, Entry)>, answers: &mut Answers) {
    let Some((place, Entry { key, value })) = taken else {
        return answers.say(from, say::NONE);
    };
    let mut body = Bytes::with_capacity(16 + key.len() + value.len());
    add_part(&mut body, &place.to_le_bytes());
    add_part(&mut body, &key);
    body.extend(value);
    answers.say_with(from, say::TAKEN, parcel(body));
}

impl Data for DictData {
    type Place = Bytes;

    fn call(&mut self, from: Ticket, call: &Call, answers: &mut Answers) -> bool {
        let count = self.entries.len();
        let entries = self.entries.values();
        match call.what {
            Self::LEN => answers.say_number(from, say::COUNT, count as u64),
            Self::KEYS => {
                let keys = sequence(count, entries.map(|entry| &*entry.key));
                answers.say_with(from, say::MANY, parcel(keys));
            }
            Self::VALUES => {
                let values = sequence(count, entries.map(|entry| &*entry.value));
                answers.say_with(from, say::MANY, parcel(values));
            }
            Self::ITEMS => {
                let both = entries.flat_map(|entry| [&*entry.key, &*entry.value]);
                answers.say_with(from, say::MANY, parcel(sequence(count, both)));
            }
            Self::CLEAR => {
                self.clear();
                answers.say(from, say::DONE);
            }
            Self::POP => say_taken(from, self.pop(), answers),
            Self::EXTEND => match self.extend(&call.parcel.bytes) {
                Some(()) => answers.say(from, say::DONE),
                None => return false,
            },
            _ => return self.keyed(from, call, answers).is_some(),
        }
        true
    }

    fn part(&self, target: &[u8], initial: Option<&[u8]>) -> Option<(Bytes, Bytes)> {
        let value = self.get(target).cloned();
        Some((
            target.to_vec(),
            value.or_else(|| initial.map(<[u8]>::to_vec))?,
        ))
    }

    fn set_part(&mut self, key: Bytes, value: Bytes) {
        self.insert(&key, value);
    }

    fn whole(&self) -> Subject {
        let entries = self.entries.values();
        Subject::Entries(
            entries
                .map(|entry| (entry.key.to_vec(), entry.value.clone()))
                .collect(),
        )
    }

    fn set_whole(&mut self, whole: Subject) -> bool {
        let Subject::Entries(entries) = whole else {
            return false;
        };
        // Those that stay keep their places.
        let mut before = std::mem::take(&mut self.places);
        self.entries.clear();
        for (key, value) in entries {
            let place = before.remove(&*key).unwrap_or_else(|| {
                self.last += 1;
                self.last
            });
            self.insert_at(place, key.into(), value);
        }
        true
    }

    fn take_back(&mut self, answer: Answer) {
        if answer.what != say::TAKEN {
            return;
        }
        let mut parts = Parts(&answer.parcel.bytes);
        let (Some(place), Some(key)) = (parts.number(), parts.next()) else {
            return;
        };
        // A value that has come to the key meanwhile is the newer one.
        if !self.places.contains_key(key) {
            let is_free = place <= self.last && !self.entries.contains_key(&place);
            match is_free {
                true => self.insert_at(place, key.into(), parts.0.to_vec()),
                false => drop(self.insert(key, parts.0.to_vec())),
            }
        }
    }
}
