//! The objects of a manager, by number and by name, and the connections that ask for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::Limit;
use crate::ipc::broker::{
    Answer, BarrierMachine, ClientId, DataMachine, DictData, EventMachine, Library, ListData,
    LockMachine, NOBODY, QueueMachine, Remote, SemaphoreMachine, Server, Ticket, say,
};
use crate::ipc::link::{Frame, Incoming, Wire};
use crate::ipc::parcel::{LONGEST, Parcel};

use super::protocol::{self, Kind, Open};

/// All that a manager serves.
pub(super) struct Hub {
    library: Arc<Library>,
    objects: Mutex<Objects>,
    clients: Mutex<HashMap<ClientId, Arc<Remote>>>,
    /// Set once, before all clients are sent away.
    is_closed: AtomicBool,
    /// The last number that a client was given.
    last: AtomicU64,
}

#[derive(Default)]
struct Objects {
    served: HashMap<u32, Served>,
    /// Exactly the names of those that have one.
    names: HashMap<String, u32>,
    /// The last number that an object was given.
    last: u32,
}

struct Served {
    kind: Kind,
    server: Arc<Server>,
}

impl Hub {
    pub(super) fn new(library: Library) -> Arc<Hub> {
        Arc::new(Hub {
            library: Arc::new(library),
            objects: Mutex::default(),
            clients: Mutex::default(),
            is_closed: AtomicBool::new(false),
            last: AtomicU64::new(0),
        })
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<Remote>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a client that has shown that it knows the key, to the end of its connection.
    pub(super) fn serve(&self, wire: Arc<Wire>) {
        // Relaxed: only uniqueness matters.
        let client = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut visit = Visit {
            hub: self,
            remote: Remote::new(client, wire),
            used: HashMap::new(),
        };
        self.clients().insert(client, visit.remote.clone());
        // Looked at when it is in the list: whoever sends all away has seen it there, or is seen here.
        if self.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let mut incoming = Incoming::new(LONGEST);
        while let Ok(Some(frame)) = incoming.recv(&visit.remote.wire, Limit::Never) {
            visit.hear(frame);
            visit.remote.wait_for_room();
        }
    }

    /// Ends all connections, and so everybody's waits.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let clients: Vec<_> = self.clients().values().cloned().collect();
        clients.iter().for_each(|client| client.wire.hang_up());
    }

    fn open(&self, body: &[u8]) -> Option<(u8, Parcel)> {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (open, initial) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let Open { kind, name } = postcard::from_bytes(open).ok()?;
        let mut objects = self.objects();
        if let Some(number) = name.as_ref().and_then(|name| objects.names.get(name)) {
            let served = objects.served.get(number)?;
            let is_its = std::mem::discriminant(&served.kind) == std::mem::discriminant(&kind);
            return Some(match is_its {
                true => (protocol::OPENED, numbered(*number)),
                false => (protocol::OTHER, text(served.kind.name())),
            });
        }
        let server = make(kind, initial, &self.library)?;
        let number = objects.free_number()?;
        objects.served.insert(number, Served { kind, server });
        if let Some(name) = name {
            objects.names.insert(name, number);
        }
        Some((protocol::OPENED, numbered(number)))
    }

    /// What is asked of the manager itself.
    fn answer(&self, frame: &Frame) -> (u8, Parcel) {
        let body = &frame.parcel.bytes;
        let answer = match frame.kind {
            protocol::OPEN => self.open(body),
            protocol::REMOVE => std::str::from_utf8(body).ok().map(|name| {
                let is_there = self.remove(name);
                (
                    if is_there { say::DONE } else { say::NONE },
                    Parcel::default(),
                )
            }),
            protocol::NAMES => {
                let objects = self.objects();
                let kind =
                    |number: &u32| objects.served.get(number).map_or("", |it| it.kind.name());
                let names: Vec<(&str, &str)> = objects
                    .names
                    .iter()
                    .map(|(name, number)| (name.as_str(), kind(number)))
                    .collect();
                Parcel::pack(&names).ok().map(|names| (say::MANY, names))
            }
            _ => None,
        };
        answer.unwrap_or((say::GARBLED, Parcel::default()))
    }

    fn remove(&self, name: &str) -> bool {
        let mut objects = self.objects();
        let number = objects.names.remove(name);
        let served = number.and_then(|number| objects.served.remove(&number));
        drop(objects);
        if let Some(served) = &served {
            served.server.close();
        }
        served.is_some()
    }
}

impl Objects {
    /// `None` when there are more objects than numbers.
    fn free_number(&mut self) -> Option<u32> {
        // One less than all, and 0 is the manager's own.
        if self.served.len() >= u32::MAX as usize - 1 {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.served.contains_key(&self.last) {
                return Some(self.last);
            }
        }
    }
}

/// `None` when what is asked for cannot be.
fn make(kind: Kind, initial: &[u8], library: &Arc<Library>) -> Option<Arc<Server>> {
    let library = library.clone();
    Some(match kind {
        Kind::Dict | Kind::Namespace => Server::new(DataMachine::new(DictData::default(), library)),
        // A dict of one entry, whose key is empty.
        Kind::Value => {
            let data = DictData::with(&[], initial.to_vec());
            Server::new(DataMachine::new(data, library))
        }
        Kind::List => Server::new(DataMachine::new(ListData::default(), library)),
        Kind::Queue { capacity: 0 } | Kind::Barrier { parties: 0 } => return None,
        Kind::Queue { capacity } => {
            let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
            Server::new(QueueMachine::new(capacity))
        }
        Kind::Lock | Kind::RLock | Kind::Condition => Server::new(LockMachine::default()),
        Kind::Event => Server::new(EventMachine::default()),
        Kind::Semaphore { permits } => Server::new(SemaphoreMachine::new(permits, u64::MAX)),
        Kind::BoundedSemaphore { permits } => Server::new(SemaphoreMachine::new(permits, permits)),
        Kind::Barrier { parties } => {
            let parties = usize::try_from(parties).unwrap_or(usize::MAX);
            Server::new(BarrierMachine::new(parties))
        }
    })
}

fn numbered(number: u32) -> Parcel {
    Parcel {
        bytes: u64::from(number).to_le_bytes().to_vec(),
        ..Parcel::default()
    }
}

fn text(text: &str) -> Parcel {
    Parcel {
        bytes: text.as_bytes().to_vec(),
        ..Parcel::default()
    }
}

/// A client's stay. At its end, also if that is a panic, all it held is let go of.
struct Visit<'a> {
    hub: &'a Hub,
    remote: Arc<Remote>,
    /// The objects that have heard of it.
    used: HashMap<u32, Arc<Server>>,
}

impl Visit<'_> {
    fn hear(&mut self, frame: Frame) {
        let number = (frame.number >> 32) as u32;
        if number == 0 {
            let (what, parcel) = self.hub.answer(&frame);
            return self.say(frame.number, what, parcel);
        }
        let server = match self.used.get(&number) {
            Some(server) if !server.is_closed() => Some(server.clone()),
            _ => self.look_up(number),
        };
        match server {
            Some(server) => server.hear(&self.remote, frame),
            None => self.say(frame.number, NOBODY, Parcel::default()),
        }
    }

    fn look_up(&mut self, number: u32) -> Option<Arc<Server>> {
        let objects = self.hub.objects();
        let found = objects.served.get(&number).map(|it| it.server.clone());
        drop(objects);
        match &found {
            Some(server) => drop(self.used.insert(number, server.clone())),
            None => drop(self.used.remove(&number)),
        }
        found
    }

    fn say(&self, number: u64, what: u8, parcel: Parcel) {
        let client = self.remote.client;
        // One that is gone will not ask again.
        drop(self.remote.send(
            None,
            Answer {
                ticket: Ticket { client, number },
                what,
                parcel,
            },
        ));
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let client = self.remote.client;
        self.remote.wire.hang_up();
        self.hub.clients().remove(&client);
        for server in self.used.values() {
            server.leave(client);
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("objects", &self.objects().served.len())
            .field("clients", &self.clients().len())
            .finish_non_exhaustive()
    }
}
