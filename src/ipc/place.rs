//! Where the word of a lock lies: in memory that all its processes have mapped, or in the one that serves it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;

use crate::sys::shared::{self, Mapping};

use super::word::Word;

const LENGTH: usize = size_of::<u32>();

/// A word that is zero in the beginning.
pub(super) enum Place {
    /// The file has no other content.
    Shared {
        file: OwnedFd,
        mapping: Mapping,
    },
    Own(AtomicU32),
}

impl Place {
    /// In shared memory where there is such, and room for it.
    pub(super) fn new() -> Place {
        match shared::create(LENGTH) {
            Ok((file, mapping)) => Place::Shared { file, mapping },
            Err(error) => {
                log::debug!("a lock is served without shared memory: {error}");
                Place::Own(AtomicU32::new(0))
            }
        }
    }

    /// Of a file that somebody has sent.
    ///
    /// # Errors
    /// `InvalidData` when it is no such file.
    pub(super) fn open(file: OwnedFd) -> io::Result<Place> {
        let mapping = shared::open(file.as_fd(), LENGTH)?;
        Ok(Place::Shared { file, mapping })
    }

    #[inline]
    pub(super) fn word(&self) -> Word<'_> {
        Word(match self {
            Place::Shared { mapping, .. } => mapping.atomic(0),
            Place::Own(word) => word,
        })
    }

    /// What other processes need to map it.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Place::Shared { file, .. } => Some(file.as_fd()),
            Place::Own(_) => None,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.word()).finish()
    }
}
