//! How a server hears what its clients in other processes say: all in one order, which nobody can tell from the true one.
//!
//! What is acted on is first taken out of its socket, and everything with it that others had sent before and do not
//! wait for (`page`). So there is one lock round all that is read from a server's clients. Whoever holds it, a task that
//! was told that something has come or a caller in the server's own process, reads, acts, lets go, and only then
//! delivers the answers.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::io::Limit;
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
    /// Was read, but may come after something that was not: for whoever reads next.
    held: Vec<(Arc<Remote>, Frame)>,
    /// A task will read next, if nobody else does. It is not the client's own, which is not told of what others have
    /// taken out of its socket.
    has_reader: bool,
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
        // That was when others have read, or when this was at its turn before.
        self.incoming.forget_was_all();
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

    /// Whether it has sent what was not heard yet, and has gone on.
    fn has_sent(&self, page: &Page) -> bool {
        let is_behind = |slot| page.sent(slot).wrapping_sub(self.heard).cast_signed() > 0;
        self.slot.is_some_and(is_behind)
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
    /// before them was read with them at the latest. What comes later than the stamp `until`, and was not read by
    /// then, is held.
    fn sort(&mut self, read_by_then: usize, until: u32) -> Vec<(Arc<Remote>, Frame)> {
        if self.frames.len() == read_by_then && read_by_then < 2 {
            return Vec::new();
        }
        let places = self.places(until);
        let frames = std::mem::take(&mut self.frames).into_iter().enumerate();
        let (mut due, held): (Vec<_>, Vec<_>) = places
            .into_iter()
            .zip(frames)
            .partition(|(place, (at, _))| *at < read_by_then || *place < 0);
        due.sort_by_key(|(place, _)| *place);
        self.frames = due.into_iter().map(|(_, (_, frame))| frame).collect();
        held.into_iter().map(|(_, (_, frame))| frame).collect()
    }

    /// How far after the stamp `until` each frame has its place. Stamps that are read together are near one another,
    /// also where they begin again from zero.
    fn places(&self, until: u32) -> Vec<i32> {
        let is_word = |frame: &Frame| matches!(frame.kind, GIVE_UP | TAKE_BACK);
        let has_words = self.frames.iter().any(|(_, frame)| is_word(frame));
        // Of the puts that follow of each client, the first.
        let mut next: HashMap<ClientId, i32> = HashMap::new();
        // Of calls that were given up before.
        let mut given_up: HashMap<(ClientId, u64), i32> = HashMap::new();
        let mut places: Vec<i32> = Vec::with_capacity(self.frames.len());
        for (remote, frame) in self.frames.iter().rev() {
            let client = remote.client;
            places.push(match stamp(frame) {
                Some(stamp) => {
                    let place = stamp.wrapping_sub(until).cast_signed();
                    if has_words {
                        let first = next.entry(client).or_insert(place);
                        *first = place.min(*first);
                    }
                    place
                }
                // Its client does not wait either, and may have put something since.
                None if is_word(frame) => {
                    let place = next.get(&client).copied().unwrap_or(LAST);
                    if frame.kind == GIVE_UP {
                        given_up.insert((client, frame.number), place);
                    }
                    place
                }
                None => given_up
                    .get(&(client, frame.number))
                    .copied()
                    .unwrap_or(LAST),
            });
        }
        places.reverse();
        places
    }
}

impl Server {
    /// Hears a client of whom something has come, and does what it says; whether that was all.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come, `UnexpectedEof` when nothing will come any more.
    pub(super) fn listen(self: &Arc<Self>, client: ClientId) -> io::Result<bool> {
        let mut ears = self.ears();
        let Some(at) = ears.position(client) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut news = ears.begin();
        let was_all = ears.list[at].read(TURN, &mut news);
        if news.frames.is_empty() && news.sockets.is_empty() {
            return was_all.and(Err(io::ErrorKind::WouldBlock.into()));
        }
        if let Some(page) = self.page() {
            ears.read_sent(page, &mut news);
        }
        self.heed(ears, news);
        was_all
    }

    /// Before a call of this process: hears what others have sent before.
    pub(super) fn hear_sent(self: &Arc<Self>) {
        let Some(page) = self.page() else { return };
        if page.stamps() == self.count_heard() {
            return;
        }
        let mut ears = self.ears();
        let mut news = ears.begin();
        ears.read_sent(page, &mut news);
        self.heed(ears, news);
    }

    /// Acts on what was held.
    pub(super) fn hear_held(self: &Arc<Self>) {
        let mut ears = self.ears();
        ears.has_reader = false;
        let Some(page) = self.page().filter(|_| !ears.held.is_empty()) else {
            return;
        };
        let mut news = ears.begin();
        ears.read_sent(page, &mut news);
        self.heed(ears, news);
    }

    /// Before this process shuts a queue.
    pub(super) fn hear_last(self: &Arc<Self>) {
        let Some(page) = self.page() else { return };
        let mut ears = self.ears();
        let mut news = ears.begin();
        ears.read_all(page, &mut news);
        self.heed(ears, news);
    }
}

impl Ears {
    /// Whether a task is to be begun that hears what is held.
    pub(super) fn wants_reader(&mut self) -> bool {
        !self.held.is_empty() && !std::mem::replace(&mut self.has_reader, true)
    }

    /// There can be no such task: the next who hears may try again.
    pub(super) fn has_no_reader(&mut self) {
        self.has_reader = false;
    }

    /// With what was held.
    fn begin(&mut self) -> News {
        News {
            frames: std::mem::take(&mut self.held),
            ..News::default()
        }
    }

    /// All that came before what is in the news, and before now. While this looks at one client after another they go
    /// on: what is read at the second may have come after what was sent by the first since. That is held, for it was
    /// neither read nor stamped when this began; what comes before anything that was, was counted then.
    fn read_sent(&mut self, page: &Page, news: &mut News) {
        let until = page.stamps();
        let read_before = news.frames.len();
        for ear in self.list.iter_mut().filter(|ear| ear.has_sent(page)) {
            // The end of a connection is for the task that serves it.
            let _ = ear.read(ALL, news);
        }
        match news.is_end() {
            true => self.read_all(page, news),
            false => self.held = news.sort(read_before, until),
        }
    }

    /// All that was sent by puts that will not ask what became of them. Whoever asks has not gone on, so nothing that
    /// was read comes after a put that was not.
    fn read_all(&mut self, page: &Page, news: &mut News) {
        page.shut();
        for ear in self.list.iter_mut().filter(|ear| ear.slot.is_some()) {
            let _ = ear.read(ALL, news);
        }
        news.sort(news.frames.len(), page.stamps());
    }
}
