//! How a server hears what its clients in other processes say: all in one order, which nobody can tell from the true one.
//!
//! What is acted on is first taken out of its socket, and everything with it that others had sent before and do not
//! wait for (`page`). What was before a put with a stamp below some number was counted before that number was reached. So
//! he who reads looks at the number first; what comes to his eyes with a later stamp is *held* until the next time, for
//! something may be before it in a socket that he has left already. There is one lock round all that is read from a server's clients. Whoever holds it, a task that
//! was told that something has come or a caller in the server's own process, reads, acts, lets go, and only then
//! delivers the answers.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::io::Limit;
use crate::ipc::home;
use crate::ipc::link::{Frame, Incoming};
use crate::ipc::parcel::LONGEST;

use super::object::{ClientId, Ticket};
use super::page::{Page, SLOTS};
use super::queue::QueueMachine;
use super::remote::Remote;
use super::server::{ATTACH, GIVE_UP, Server, TAKE_BACK};

/// So many frames of one client are heard before others have a turn.
const TURN: usize = 32;

/// More frames than fit into a socket.
const ALL: usize = 1 << 20;

/// Locked before the object.
#[derive(Default)]
pub(super) struct Ears {
    list: Vec<Ear>,
    /// Whose slots on the page are taken.
    slots: Vec<bool>,
}

/// Place of what is waited for, among stamps.
const LAST: i32 = i32::MAX;

/// A client.
struct Ear {
    remote: Arc<Remote>,
    incoming: Incoming,
    /// On the page.
    slot: Option<usize>,
    /// How many puts have come that it did not wait for.
    heard: u32,
    /// What has come and is not to be acted on yet.
    held: VecDeque<Frame>,
}

/// What was read.
#[derive(Default)]
pub(super) struct News {
    pub(super) frames: Vec<(Arc<Remote>, Frame)>,
    /// Those of new clients.
    pub(super) sockets: Vec<OwnedFd>,
}

impl Ears {
    /// A new client; its slot on the page, if it gets one.
    pub(super) fn add(&mut self, remote: Arc<Remote>, page: Option<&Page>) -> Option<usize> {
        let slot = page.and_then(|page| {
            let free = self.slots.iter().position(|is_taken| !is_taken);
            let slot = free.unwrap_or(self.slots.len());
            if slot == SLOTS {
                return None;
            }
            match self.slots.get_mut(slot) {
                Some(is_taken) => *is_taken = true,
                None => self.slots.push(true),
            }
            page.clear(slot);
            Some(slot)
        });
        self.list.push(Ear {
            remote,
            incoming: Incoming::new(LONGEST),
            slot,
            heard: 0,
            held: VecDeque::new(),
        });
        slot
    }

    pub(super) fn remove(&mut self, client: ClientId) {
        let Some(at) = self.position(client) else {
            return;
        };
        if let Some(slot) = self.list.swap_remove(at).slot {
            self.slots[slot] = false;
        }
    }

    fn position(&self, client: ClientId) -> Option<usize> {
        self.list.iter().position(|ear| ear.remote.client == client)
    }
}

impl Ear {
    /// Reads at most so many frames; whether that was all that has come.
    ///
    /// # Errors
    /// `UnexpectedEof` when nothing will come any more.
    fn read(&mut self, most: usize, news: &mut News) -> io::Result<bool> {
        let held = self.held.drain(..);
        news.frames
            .extend(held.map(|frame| (self.remote.clone(), frame)));
        // What was all when a turn was cut short is not all now.
        self.incoming.look_again();
        for _ in 0..most {
            match self.incoming.recv(&self.remote.wire, Limit::Now) {
                Ok(Some(frame)) if frame.kind == ATTACH => {
                    news.sockets.extend(frame.parcel.descriptors);
                }
                Ok(Some(frame)) => {
                    if stamp(&frame).is_some() {
                        self.heard = self.heard.wrapping_add(1);
                    }
                    news.frames.push((self.remote.clone(), frame));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Ok(None) | Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            if self.incoming.was_all() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it has sent what was not acted on yet, and has gone on.
    fn has_sent(&self, page: &Page) -> bool {
        let is_behind = |slot| page.sent(slot).wrapping_sub(self.heard).cast_signed() > 0;
        !self.held.is_empty() || self.slot.is_some_and(is_behind)
    }
}

/// Of a put that nobody waits for.
fn stamp(frame: &Frame) -> Option<u32> {
    Ticket::stamp_in(frame.number)
        .filter(|_| matches!(frame.kind, QueueMachine::PUT | QueueMachine::TRY_PUT))
}

impl News {
    /// How many puts are among it that nobody waits for.
    pub(super) fn count_ahead(&self) -> u32 {
        let ahead = self
            .frames
            .iter()
            .filter(|(_, frame)| stamp(frame).is_some());
        ahead.count() as u32
    }

    fn is_end(&self) -> bool {
        let is_end = |frame: &Frame| frame.kind == QueueMachine::SHUT_DOWN;
        self.frames.iter().any(|(_, frame)| is_end(frame))
    }

    /// Puts that nobody waits for come first, in the order of their stamps: all others are waited for, so what came
    /// before them was read with them at the latest.
    pub(super) fn sort(&mut self) {
        let Some(first) = self.frames.iter().find_map(|(_, frame)| stamp(frame)) else {
            return;
        };
        let frames = std::mem::take(&mut self.frames);
        let mut placed: Vec<_> = places(&frames, first).into_iter().zip(frames).collect();
        placed.sort_by_key(|(place, _)| *place);
        self.frames = placed.into_iter().map(|(_, frame)| frame).collect();
    }
}

/// How far after a stamp each frame has its place. Stamps that are read together are near one another, also where they
/// begin again from zero.
fn places(frames: &[(Arc<Remote>, Frame)], from: u32) -> Vec<i32> {
    let is_word = |frame: &Frame| matches!(frame.kind, GIVE_UP | TAKE_BACK);
    let has_words = frames.iter().any(|(_, frame)| is_word(frame));
    // Of the puts of each client that follow, the first.
    let mut next: HashMap<ClientId, i32> = HashMap::new();
    // Of calls that were given up.
    let mut given_up: HashMap<(ClientId, u64), i32> = HashMap::new();
    let mut places = Vec::with_capacity(frames.len());
    for (remote, frame) in frames.iter().rev() {
        let client = remote.client;
        places.push(match stamp(frame) {
            Some(stamp) => {
                let place = stamp.wrapping_sub(from).cast_signed();
                if has_words {
                    let first = next.entry(client).or_insert(place);
                    *first = place.min(*first);
                }
                place
            }
            // Its client does not wait for that either, and may have put something since.
            None if is_word(frame) => {
                let place = next.get(&client).copied().unwrap_or(LAST);
                if frame.kind == GIVE_UP {
                    given_up.insert((client, frame.number), place);
                }
                place
            }
            None => {
                let place = given_up.get(&(client, frame.number));
                place.copied().unwrap_or(LAST)
            }
        });
    }
    places.reverse();
    places
}

impl Server {
    /// Hears a client of whom something has come, and does what it says; whether that was all.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come, `UnexpectedEof` when nothing will come any more.
    pub(super) fn listen(self: &Arc<Self>, client: ClientId) -> io::Result<bool> {
        let mut ears = self.ears();
        let mut news = News::default();
        let Some(at) = ears.position(client) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let was_all = ears.list[at].read(TURN, &mut news);
        if news.frames.is_empty() && news.sockets.is_empty() {
            return was_all.and(Err(io::ErrorKind::WouldBlock.into()));
        }
        let held = match self.page() {
            Some(page) => ears.gather(page, Some(client), &mut news),
            None => Vec::new(),
        };
        self.heed(ears, news);
        self.come_back(held);
        was_all
    }

    /// Before a call of this process: hears what others have sent before.
    pub(super) fn hear_sent(self: &Arc<Self>) {
        let Some(page) = self.page() else { return };
        if page.stamps() == self.count_heard() {
            return;
        }
        let mut ears = self.ears();
        let mut news = News::default();
        let held = ears.gather(page, None, &mut news);
        self.heed(ears, news);
        self.come_back(held);
    }

    /// Has a task hear those of whom something was held: nobody else may be told that it has come.
    fn come_back(self: &Arc<Self>, held: Vec<ClientId>) {
        for client in held {
            let server = self.clone();
            // To the end of what it takes out of the socket: nobody is told of that either.
            let hear = move || while matches!(server.listen(client), Ok(false)) {};
            if home::spawn("what came to an object meanwhile", hear).is_err() {
                while matches!(self.listen(client), Ok(false)) {}
            }
        }
    }

    /// Before this process shuts a queue.
    pub(super) fn hear_last(self: &Arc<Self>) {
        let Some(page) = self.page() else { return };
        let mut ears = self.ears();
        let mut news = News::default();
        ears.hear_all(page, &mut news);
        self.heed(ears, news);
    }
}

impl Ears {
    /// Reads what others have sent before what was read of this client, or before now; of whom something is held.
    fn gather(&mut self, page: &Page, client: Option<ClientId>, news: &mut News) -> Vec<ClientId> {
        let first = news.frames.len();
        let before = page.stamps();
        let is_other = |ear: &&Ear| Some(ear.remote.client) != client;
        let mut others = self.list.iter().filter(is_other);
        if others.any(|ear| ear.has_sent(page)) {
            // With the rest of this one's, which may come before what those say.
            self.read_sent(page, news);
        }
        if news.is_end() {
            // Nothing is held: it would come too late, and its sender has perhaps seen no mark.
            self.hear_all(page, news);
            return Vec::new();
        }
        self.hold(before, first, news)
    }

    fn read_sent(&mut self, page: &Page, news: &mut News) {
        for ear in self.list.iter_mut().filter(|ear| ear.has_sent(page)) {
            // The end of a connection is for the task that serves it.
            let _ = ear.read(ALL, news);
        }
    }

    /// Keeps all but what was read first and puts whose stamps had been taken when there were so many. Calls have no stamps:
    /// what was before them is known to be read only if they were read first. Of one client a put may so pass a call or a
    /// later put; then those are not after it.
    fn hold(&mut self, before: u32, first: usize, news: &mut News) -> Vec<ClientId> {
        let mut held = Vec::new();
        if news.frames.len() == first {
            return held;
        }
        let places = places(&news.frames, before);
        let frames = std::mem::take(&mut news.frames);
        for (at, (place, new)) in places.into_iter().zip(frames).enumerate() {
            let is_due = at < first || place < 0;
            match self.position(new.0.client).map(|at| &mut self.list[at]) {
                Some(ear) if !is_due => {
                    if ear.held.is_empty() {
                        held.push(new.0.client);
                    }
                    ear.held.push_back(new.1);
                }
                _ => news.frames.push(new),
            }
        }
        held
    }

    /// All that was sent by puts that will not ask what became of them.
    fn hear_all(&mut self, page: &Page, news: &mut News) {
        page.shut();
        for ear in self.list.iter_mut().filter(|ear| ear.slot.is_some()) {
            let _ = ear.read(ALL, news);
        }
    }
}
