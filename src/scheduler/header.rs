//! What others may hold of a task: who it is, where it lives, and the one word that decides its fate.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::stack::StackSize;

use super::letterbox::Announced;
use super::phases::Phases;

/// The number of a task: unique in the process, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl TaskId {
    /// A number nobody has had. Given out in blocks, a block a thread, so that spawning touches no shared
    /// counter.
    pub(crate) fn next() -> TaskId {
        const BLOCK: u64 = 1024;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
        }
        MINE.with(|mine| {
            let (mut id, mut end) = mine.get();
            if id == end {
                // Relaxed: only uniqueness matters.
                id = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
                end = id + BLOCK;
            }
            mine.set((id + 1, end));
            TaskId(id)
        })
    }

    /// The number itself, for logs and maps.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a spawner says of a task before it exists.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Boxed twice, so that the many tasks without a name spend one word on it.
    #[expect(clippy::box_collection, reason = "one word where there is no name")]
    pub(crate) name: Option<Box<String>>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) stack_size: StackSize,
    /// The runtime it belongs to, by `Shared::id`: workers of others do not start it.
    pub(crate) runtime: u32,
    /// Runs only on the worker that made it: its closure need not be `Send`.
    pub(crate) pinned: bool,
}

/// The shared part of a task.
///
/// Three groups of fields. Fixed ones, written before the task is shared. The `fate` word, changed by
/// anyone through read-modify-writes. And what the home worker alone writes (`home`, `key`):
/// plain loads and stores, atomic only because strangers may read them.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) id: TaskId,
    pub(crate) spec: Spec,
    /// The worker that started the task: 0 before that, then set once and never changed.
    home: AtomicU64,
    /// Bits of [`Fate`].
    fate: AtomicU32,
    /// Slot in the home worker's table of started tasks; `NO_KEY` before the start and after the end.
    /// Written and read by the home worker's thread only.
    key: AtomicU32,
    /// Whether a wake of this task lies in its home's inbox.
    pub(super) announced: Announced,
    /// It has been told of a deadlock and cannot be thrown out of the wait it is in: not to be told again.
    /// Written by the home worker's thread only.
    told: AtomicBool,
}

/// Bits of the fate word. All changes are read-modify-writes, so each change sees every one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate(u32);

impl Fate {
    /// Somebody has taken it upon himself to start the task: a worker that popped it or the task that
    /// joins it. Set exactly once; who finds it set drops his reference and forgets the task.
    const CLAIMED: u32 = 1;
    /// The outcome is stored; nothing of the task's body runs any more but its farewell.
    const COMPLETE: u32 = 2;
    /// The join handle has left a waker to be woken at completion.
    const JOINING: u32 = 4;
    /// The join handle is gone: the outcome is dropped by the task itself.
    const DETACHED: u32 = 8;
    /// Cancellation was asked for. Never taken back.
    const CANCELLED: u32 = 16;
    /// `unpark` came; the next `park` returns at once.
    const TOKEN: u32 = 32;

    pub(crate) fn is_claimed(self) -> bool {
        self.0 & Fate::CLAIMED != 0
    }
    pub(crate) fn is_complete(self) -> bool {
        self.0 & Fate::COMPLETE != 0
    }
    pub(crate) fn is_joining(self) -> bool {
        self.0 & Fate::JOINING != 0
    }
    pub(crate) fn is_detached(self) -> bool {
        self.0 & Fate::DETACHED != 0
    }
    pub(crate) fn is_cancelled(self) -> bool {
        self.0 & Fate::CANCELLED != 0
    }
}

/// In words: how far it has come, and what was asked of it.
impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.is_complete(), self.is_claimed()) {
            (true, _) => "ended",
            (false, true) => "started",
            (false, false) => "not started",
        })?;
        let rest = [
            (Fate::CANCELLED, "cancelled"),
            (Fate::DETACHED, "detached"),
            (Fate::JOINING, "being joined"),
            (Fate::TOKEN, "unparked"),
        ];
        let mut set = rest.iter().filter(|(bit, _)| self.0 & bit != 0);
        set.try_for_each(|(_, word)| write!(f, ", {word}"))
    }
}

/// What claiming a task gave.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The caller, and nobody else, starts the task.
    Won,
    /// Somebody else has started it, or will.
    Lost,
}

impl Header {
    pub(crate) fn new(id: TaskId, spec: Spec) -> Self {
        Header {
            id,
            spec,
            fate: AtomicU32::new(0),
            key: AtomicU32::new(Phases::NO_KEY),
            home: AtomicU64::new(0),
            announced: Announced::new(),
            told: AtomicBool::new(false),
        }
    }

    /// The words that every switch and every wake look at; they stand together.
    #[inline]
    pub(crate) fn hot(&self) -> *const u64 {
        (&raw const self.home).cast()
    }

    /// The name, or an empty string.
    pub(crate) fn name(&self) -> &str {
        self.spec.name.as_ref().map_or("", |name| name.as_str())
    }

    /// Acquire: who sees `COMPLETE` sees the outcome as well.
    #[inline]
    pub(crate) fn fate(&self) -> Fate {
        Fate(self.fate.load(Ordering::Acquire))
    }

    /// Takes the right to start the task.
    #[inline]
    pub(crate) fn claim(&self) -> Claim {
        // AcqRel: acquires the closure that the spawner wrote; orders the claim before later reads of
        // the bits that were set by others.
        match self.fate.fetch_or(Fate::CLAIMED, Ordering::AcqRel) & Fate::CLAIMED {
            0 => Claim::Won,
            _ => Claim::Lost,
        }
    }

    /// Publishes the stored outcome; returns the word before.
    #[inline]
    pub(crate) fn complete(&self) -> Fate {
        // Release: the outcome and whatever the task did happen before its join.
        // Acquire: pairs with `join`, whose waker is read next.
        Fate(self.fate.fetch_or(Fate::COMPLETE, Ordering::AcqRel))
    }

    /// Announces the waker that was stored just before; returns the word before.
    #[inline]
    pub(crate) fn join(&self) -> Fate {
        // Release: publishes the waker. Acquire: the outcome, should it have come meanwhile.
        Fate(self.fate.fetch_or(Fate::JOINING, Ordering::AcqRel))
    }

    /// Takes the announcement back; when the word before says complete, the completer owns the waker.
    pub(crate) fn unjoin(&self) -> Fate {
        Fate(self.fate.fetch_and(!Fate::JOINING, Ordering::AcqRel))
    }

    /// The join handle goes away; returns the word before: when complete, the outcome is the caller's.
    pub(crate) fn detach(&self) -> Fate {
        Fate(self.fate.fetch_or(Fate::DETACHED, Ordering::AcqRel))
    }

    /// Asks for cancellation; returns the word before.
    pub(crate) fn cancel(&self) -> Fate {
        Fate(self.fate.fetch_or(Fate::CANCELLED, Ordering::AcqRel))
    }

    /// Leaves the unpark token; returns the word before.
    pub(crate) fn give_token(&self) -> Fate {
        Fate(self.fate.fetch_or(Fate::TOKEN, Ordering::AcqRel))
    }

    /// Takes the unpark token.
    pub(crate) fn take_token(&self) -> bool {
        // A read-modify-write even when the bit is clear: it orders this park against `give_token`, so
        // that either we see the token or the giver sees our home.
        self.fate.fetch_and(!Fate::TOKEN, Ordering::AcqRel) & Fate::TOKEN != 0
    }

    /// The home worker, 0 when the task has not started.
    #[inline]
    pub(crate) fn home(&self) -> u64 {
        // Acquire: pairs with `settle`; who sees the home sees the key.
        self.home.load(Ordering::Acquire)
    }

    /// The home of a task that is known to be claimed: the claimer is about to write it.
    pub(crate) fn settled_home(&self) -> u64 {
        loop {
            match self.home() {
                // A few instructions lie between claim and settle, unless the claimer's thread was
                // scheduled away in between, or must wait for memory for a stack.
                0 => std::thread::yield_now(),
                home => return home,
            }
        }
    }

    /// Called once by the worker that claimed the task.
    #[inline]
    pub(crate) fn settle(&self, home: u64) {
        self.home.store(home, Ordering::Release);
    }

    /// The slot among the home worker's started tasks.
    #[inline]
    pub(crate) fn key(&self) -> u32 {
        self.key.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_key(&self, key: u32) {
        self.key.store(key, Ordering::Relaxed);
    }

    /// Whether a deadlock report would find it unable to unwind, as the last one did.
    pub(crate) fn is_told(&self) -> bool {
        // Relaxed: who asks decides between raising and logging, no more.
        self.told.load(Ordering::Relaxed)
    }

    // From here on: the home worker's thread only.

    pub(crate) fn set_told(&self, is_told: bool) {
        self.told.store(is_told, Ordering::Relaxed);
    }
}

/// For the log: which task, and where it comes from.
impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {}", self.id)?;
        if !self.name().is_empty() {
            write!(f, " ({})", self.name())?;
        }
        write!(f, ", spawned at {},", self.spec.place)
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id.0)
            .field("name", &self.name())
            .field("fate", &self.fate())
            .field("spawned_at", &format_args!("{}", self.spec.place))
            .finish_non_exhaustive()
    }
}
