//! How a server hears what its clients in other processes say: all in one order, which nobody can tell from the true one.
//!
//! What is acted on is first taken out of its socket, and everything with it that others had sent before and do not
//! wait for (`page`). So there is one lock round all that is read from a server's clients. Whoever holds it, a task that
//! was told that something has come or a caller in the server's own process, reads, acts, lets go, and only then
//! delivers the answers.

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
use super::server::{ATTACH, Server};

/// So many frames of one client are heard before others have a turn.
const TURN: usize = 32;

/// More frames than fit into a socket.
const ALL: usize = 1 << 13;

/// Locked before the object.
#[derive(Default)]
pub(super) struct Ears {
    list: Vec<Ear>,
    /// Whose slots on the page are taken.
    slots: Vec<bool>,
}

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
    /// before them was read with them at the latest.
    pub(super) fn sort(&mut self) {
        let Some(first) = self.frames.iter().find_map(|(_, frame)| stamp(frame)) else {
            return;
        };
        // Stamps that are read together are near one another, also where they begin again from zero.
        let place = |frame: &Frame| stamp(frame).map(|it| it.wrapping_sub(first).cast_signed());
        self.frames
            .sort_by_key(|(_, frame)| place(frame).map_or((true, 0), |place| (false, place)));
    }
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
        if let Some(page) = self.page() {
            let is_other = |ear: &&Ear| ear.remote.client != client;
            // With the rest of this one's, which may come before what those say.
            if ears
                .list
                .iter()
                .filter(is_other)
                .any(|ear| ear.has_sent(page))
            {
                ears.read_sent(page, &mut news);
            }
            if news.is_end() {
                ears.hear_all(page, &mut news);
            }
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
        let mut news = News::default();
        ears.read_sent(page, &mut news);
        self.heed(ears, news);
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
    fn read_sent(&mut self, page: &Page, news: &mut News) {
        for ear in self.list.iter_mut().filter(|ear| ear.has_sent(page)) {
            // The end of a connection is for the task that serves it.
            let _ = ear.read(ALL, news);
        }
    }

    /// All that was sent by puts that will not ask what became of them.
    fn hear_all(&mut self, page: &Page, news: &mut News) {
        page.shut();
        for ear in self.list.iter_mut().filter(|ear| ear.slot.is_some()) {
            let _ = ear.read(ALL, news);
        }
    }
}
