//! A client in another process, as its server sees it: where answers go.
//!
//! A socket that has no room gets a task that writes on; in the meantime its answers queue up, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::Limit;
use crate::ipc::home;
use crate::ipc::link::{Outgoing, Wire};
use crate::sync::Event;

use super::object::{Answer, ClientId, Ticket};
use super::server::{Server, TOO_LONG};

/// A client that has so many bytes in line is not listened to until it has taken some.
const PATIENCE: usize = 1 << 20;

pub(in crate::ipc) struct Remote {
    pub(in crate::ipc) client: ClientId,
    pub(in crate::ipc) wire: Arc<Wire>,
    outbox: Mutex<Outbox>,
    /// Changed under the lock of the outbox.
    has_room: Event,
}

#[derive(Default)]
struct Outbox {
    /// The first may have left in part.
    queue: VecDeque<Queued>,
    /// Of what is in the queue.
    bytes: usize,
    /// A task sees to the queue.
    has_writer: bool,
}

/// An answer on its way, and whose it was.
struct Queued {
    outgoing: Outgoing,
    length: usize,
    ticket: Ticket,
    what: u8,
    /// `None` for what is no object's.
    server: Option<Arc<Server>>,
}

impl Queued {
    /// To be taken back.
    fn into_answer(self) -> Option<(Arc<Server>, Answer)> {
        let answer = Answer {
            ticket: self.ticket,
            what: self.what,
            parcel: self.outgoing.into_parcel(),
        };
        Some((self.server?, answer))
    }
}

impl Remote {
    pub(in crate::ipc) fn new(client: ClientId, wire: Arc<Wire>) -> Arc<Remote> {
        let has_room = Event::new();
        has_room.set();
        Arc::new(Remote {
            client,
            wire,
            outbox: Mutex::default(),
            has_room,
        })
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an answer, now or later: of this server's object, or of none. Gives it back when the client is gone.
    pub(in crate::ipc) fn send(
        self: &Arc<Self>,
        server: Option<&Arc<Server>>,
        answer: Answer,
    ) -> Option<Answer> {
        let Answer {
            ticket,
            what,
            parcel,
        } = answer;
        let length = parcel.bytes.len();
        let mut outgoing = match Outgoing::new(what, ticket.number, parcel) {
            Ok(outgoing) => outgoing,
            // All of an object's values at once, perhaps.
            Err(_) => Outgoing::plain(TOO_LONG, ticket.number),
        };
        let mut outbox = self.outbox();
        if !outbox.has_writer {
            match outgoing.try_send(&self.wire) {
                Ok(true) => return None,
                Ok(false) => {}
                Err(_) => {
                    drop(outbox);
                    let parcel = outgoing.into_parcel();
                    return Some(Answer {
                        ticket,
                        what,
                        parcel,
                    });
                }
            }
        }
        outbox.queue.push_back(Queued {
            outgoing,
            length,
            ticket,
            what,
            server: server.cloned(),
        });
        outbox.bytes += length;
        if outbox.bytes > PATIENCE {
            self.has_room.clear();
        }
        if !std::mem::replace(&mut outbox.has_writer, true) {
            let theirs = self.clone();
            let write = move || theirs.write();
            if home::spawn("writer of a shared object", write).is_err() {
                self.wire.hang_up();
            }
        }
        None
    }

    /// Writes out what has no room in the socket, as room comes.
    fn write(&self) {
        // Not delivered, for the client is gone: the oldest first.
        let mut returned: Vec<(Arc<Server>, Vec<Answer>)> = Vec::new();
        while let Some(mut next) = self.next() {
            if next.outgoing.send(&self.wire, Limit::Never).is_ok() {
                continue;
            }
            let Some((server, answer)) = next.into_answer() else {
                continue;
            };
            match returned
                .iter_mut()
                .find(|(other, _)| Arc::ptr_eq(other, &server))
            {
                Some((_, answers)) => answers.push(answer),
                None => returned.push((server, vec![answer])),
            }
        }
        for (server, answers) in returned {
            server.take_back_all(answers);
        }
    }

    fn next(&self) -> Option<Queued> {
        let mut outbox = self.outbox();
        let next = outbox.queue.pop_front();
        outbox.has_writer = next.is_some();
        if let Some(next) = &next {
            outbox.bytes -= next.length;
        }
        if outbox.bytes <= PATIENCE {
            self.has_room.set();
        }
        next
    }

    /// Waits while more than enough is on its way to this client: one that asks and does not read costs no memory.
    /// Whoever waits for an answer reads, so one that reads is not kept.
    pub(in crate::ipc) fn wait_for_room(&self) {
        self.has_room.wait();
    }
}
