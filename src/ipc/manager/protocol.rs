//! What a client asks of a manager itself, which is its object number 0.

use serde::{Deserialize, Serialize};

/// A sort of object, with what one needs to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Dict,
    List,
    Value,
    Namespace,
    Queue { capacity: u64 },
    Lock,
    RLock,
    Condition,
    Event,
    Semaphore { permits: u64 },
    BoundedSemaphore { permits: u64 },
    Barrier { parties: u64 },
}

impl Kind {
    /// As users know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Dict => "dict",
            Kind::List => "list",
            Kind::Value => "value",
            Kind::Namespace => "namespace",
            Kind::Queue { .. } => "queue",
            Kind::Lock => "lock",
            Kind::RLock => "rlock",
            Kind::Condition => "condition",
            Kind::Event => "event",
            Kind::Semaphore { .. } => "semaphore",
            Kind::BoundedSemaphore { .. } => "bounded semaphore",
            Kind::Barrier { .. } => "barrier",
        }
    }
}

/// The first part of a call of `OPEN`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) kind: Kind,
    /// `None`: a new object, which nobody finds by name.
    pub(super) name: Option<String>,
}

/// An [`Open`], and the first value of a value: answered `OPENED` or `OTHER`.
pub(super) const OPEN: u8 = 1;
/// A name: answered `DONE`, or `NONE` when there is no such object.
pub(super) const REMOVE: u8 = 2;
/// Answered `MANY`: the names, and the kinds of their objects.
pub(super) const NAMES: u8 = 3;

/// With the object's number.
pub(super) const OPENED: u8 = 10;
/// The name is that of an object of another kind, which is said.
pub(super) const OTHER: u8 = 11;
