//! A page that the processes of a queue share, so that a put need not wait for its answer.
//!
//! A put into a queue without bounds can fail for two reasons: the queue was shut down, or the process that serves it is
//! gone. So its sender does not wait to hear that all went well. It *goes ahead*: it takes a stamp, sends the item with
//! it, counts what it has sent in a place of its own, and looks whether the queue is shut. No other thread of its process
//! sends between its item and the count: what is counted is what was sent first.
//!
//! ```text
//!   0        4        8                4 x slot
//!   | stamps | is shut | ... | sent by the client of this slot | ...
//! ```
//!
//! *Nobody can tell that it did not wait.* What comes after a put, in whatever process, finds its item, and puts stay in
//! the order in which they were made, because who serves the queue does one thing before he acts on any call: he reads
//! what others have sent and counted (`ears`), and puts that into the order of the stamps. If a put came before the call
//! in the world, then its message was in the socket, and counted, before the call was made. What he reads while he looks
//! round may have come after something where he has looked already: that he acts on the next time.
//!
//! *No item is lost to a shutdown.* It marks the page, then reads what all have sent, and only then shuts the queue. A
//! put that finds no mark after it has sent was read by then, or will be before the end. One that finds the mark asks what
//! became of it.
//!
//! Whoever is killed between two of these steps has not come back from its put. If the item had left, it is put; its
//! connection ends, and its slot with it. A process that scribbles on the page has others read sockets in vain, or has
//! puts refused.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::ipc::line::Tally;
use crate::sys::shared::{self, Mapping};

const LENGTH: usize = 4096;
const WORD: usize = size_of::<u32>();
const STAMPS: usize = 0;
const IS_SHUT: usize = 1;
const FIRST_SLOT: usize = 2;

/// So many clients can go ahead at a time; others wait for their answers.
pub(super) const SLOTS: usize = LENGTH / WORD - FIRST_SLOT;

#[derive(Debug)]
pub(in crate::ipc) struct Page {
    file: OwnedFd,
    mapping: Mapping,
}

impl Page {
    /// # Errors
    /// Where there is no such memory, or no room for it.
    pub(super) fn new() -> io::Result<Page> {
        let (file, mapping) = shared::create(LENGTH)?;
        Ok(Page { file, mapping })
    }

    /// Of a file that somebody has sent.
    ///
    /// # Errors
    /// `InvalidData` when it is no such file.
    pub(super) fn open(file: OwnedFd) -> io::Result<Page> {
        let mapping = shared::open(file.as_fd(), LENGTH)?;
        Ok(Page { file, mapping })
    }

    fn word(&self, number: usize) -> &AtomicU32 {
        self.mapping.atomic(number * WORD)
    }

    /// For a put that is about to be sent.
    pub(super) fn stamp(&self) -> u32 {
        self.word(STAMPS).fetch_add(1, Ordering::SeqCst)
    }

    /// How many stamps were taken.
    pub(super) fn stamps(&self) -> u32 {
        self.word(STAMPS).load(Ordering::SeqCst)
    }

    /// Counts a put that has been sent. All that its sender does next comes after it.
    pub(super) fn count(&self, slot: usize) {
        self.word(FIRST_SLOT + slot).fetch_add(1, Ordering::SeqCst);
        // Pairs with that of `shut`: either side sees what the other has done before, and the other way of telling
        // is the kernel's.
        fence(Ordering::SeqCst);
    }

    pub(super) fn sent(&self, slot: usize) -> u32 {
        self.word(FIRST_SLOT + slot).load(Ordering::SeqCst)
    }

    /// For a slot's next client.
    pub(super) fn clear(&self, slot: usize) {
        self.word(FIRST_SLOT + slot).store(0, Ordering::SeqCst);
    }

    /// From now on a put asks what became of it.
    pub(super) fn shut(&self) {
        self.word(IS_SHUT).store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.word(IS_SHUT).load(Ordering::SeqCst) != 0
    }
}

impl AsFd for Page {
    /// What other processes need to map it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A client's place on the page.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) page: Page,
    pub(super) slot: usize,
}

impl Ahead {
    /// With what somebody has sent.
    ///
    /// # Errors
    /// `InvalidData` when it is no page, or not on it.
    pub(super) fn open(file: OwnedFd, slot: u32) -> io::Result<Ahead> {
        let slot = slot as usize;
        if slot >= SLOTS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let page = Page::open(file)?;
        Ok(Ahead { page, slot })
    }
}

impl Tally for Ahead {
    fn count(&self) {
        self.page.count(self.slot);
    }
}
