//! Who runs on a stack: written at its top, read by the overflow report from a fault address alone.
//!
//! The report may read while another thread writes. So every field is an atomic, read and written
//! relaxed: it can mix two labels at worst, and never reads what was not written.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

/// What it is that runs on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A green thread.
    Task = 1,
    /// A bare coroutine.
    Coroutine = 2,
    /// A generator.
    Generator = 3,
    /// A greenlet.
    Greenlet = 4,
}

/// Who runs on a stack, as its owner says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    /// Where it was spawned.
    pub(crate) place: &'static Location<'static>,
    /// May be empty. `NAME_BYTES` of it are kept.
    pub(crate) name: &'a str,
}

/// How much of a name is kept.
pub(super) const NAME_BYTES: usize = 40;
const WORD: usize = size_of::<u64>();

/// A label as it lies at the top of a slot: one cache line, next to the coroutine's first frame.
///
/// All zero (as the kernel gives the page) is an empty one; any other bytes are a valid one too, as far
/// as this type is concerned, but for `place`.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct LabelRecord {
    /// Kind in the low byte, bytes of the name in the next.
    head: AtomicU64,
    id: AtomicU64,
    /// Null, or a location that lives for ever.
    place: AtomicPtr<Location<'static>>,
    name: [AtomicU64; NAME_BYTES / WORD],
}

impl LabelRecord {
    /// Three stores when the name is empty, as it usually is.
    #[inline]
    pub(super) fn write(&self, label: &Label<'_>) {
        let mut head = u64::from(label.kind as u8);
        if !label.name.is_empty() {
            head |= (self.write_name(label.name) as u64) << 8;
        }
        self.id.store(label.id, Relaxed);
        self.place
            .store(ptr::from_ref(label.place).cast_mut(), Relaxed);
        self.head.store(head, Relaxed);
    }

    fn write_name(&self, name: &str) -> usize {
        let len = name.floor_char_boundary(NAME_BYTES);
        let mut bytes = [0; NAME_BYTES];
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        for (word, chunk) in self.name.iter().zip(bytes.as_chunks::<WORD>().0) {
            word.store(u64::from_ne_bytes(*chunk), Relaxed);
        }
        len
    }

    /// A copy, or `None` when nothing was ever written.
    pub(super) fn read(&self) -> Option<LabelCopy> {
        let [kind, len, ..] = self.head.load(Relaxed).to_le_bytes();
        let kind = match kind {
            1 => Kind::Task,
            2 => Kind::Coroutine,
            3 => Kind::Generator,
            4 => Kind::Greenlet,
            _ => return None,
        };
        let mut name = [0; NAME_BYTES];
        for (word, chunk) in self.name.iter().zip(name.as_chunks_mut::<WORD>().0) {
            *chunk = word.load(Relaxed).to_ne_bytes();
        }
        Some(LabelCopy {
            kind,
            id: self.id.load(Relaxed),
            place: self.place.load(Relaxed),
            name,
            name_len: usize::from(len).min(NAME_BYTES),
        })
    }
}

/// A label taken out of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelCopy {
    pub(super) kind: Kind,
    pub(super) id: u64,
    /// As in the record.
    pub(super) place: *const Location<'static>,
    name: [u8; NAME_BYTES],
    name_len: usize,
}

impl LabelCopy {
    /// Bytes of UTF-8, unless another label was being written meanwhile.
    pub(super) fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_cache_line() {
        assert_eq!(size_of::<LabelRecord>(), 64);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let record = LabelRecord::default();
        assert!(record.read().is_none());
        let name = "ä".repeat(19) + "xyz";
        let place = Location::caller();
        record.write(&Label {
            kind: Kind::Greenlet,
            id: 7,
            place,
            name: &name,
        });
        let copy = record.read().expect("a label");
        assert_eq!((copy.kind, copy.id), (Kind::Greenlet, 7));
        assert_eq!(str::from_utf8(copy.name()), Ok(&name[..40]));
        let name = "x".to_owned() + &"ä".repeat(20);
        record.write(&Label {
            kind: Kind::Task,
            id: 8,
            place,
            name: &name,
        });
        assert_eq!(
            record.read().expect("a label").name(),
            &name.as_bytes()[..39]
        );
        record.write(&Label {
            kind: Kind::Task,
            id: 9,
            place,
            name: "",
        });
        assert_eq!(record.read().expect("a label").name(), b"");
    }
}
