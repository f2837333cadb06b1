//! Memory that other processes have mapped as well: reached by relaxed atomic loads and stores, never by reference.
//!
//! Another process writes to it whenever it likes. To bytes of which only atomic accesses are made this is a race
//! without undefined behaviour here: each load finds some value that was stored, torn between words at worst.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

const WORD: usize = size_of::<usize>();

/// A mapping of a whole sealed memory file, to the end of this value.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Of `len` bytes, at a page's beginning; dangling when there are none.
    address: usize,
    len: usize,
}

impl Mapping {
    /// Maps a memory file that [`is_sealed`] at `len` bytes.
    ///
    /// # Errors
    /// What the system says: no room, or no leave to write.
    #[cfg(target_os = "linux")]
    fn of(fd: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        if len == 0 {
            return Ok(Mapping { address: 0, len });
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces nothing.
        let start = unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0)? };
        Ok(Mapping {
            address: start.expose_provenance(),
            len,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn check(&self, offset: usize, len: usize) {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(fits, "{len} bytes from {offset} of {}", self.len);
    }

    fn byte(&self, at: usize) -> &AtomicU8 {
        // SAFETY: the callers have checked that `at` is inside; the pages stay mapped as long as `self`, and behind
        // them stays memory, for the file is sealed against shrinking. Nobody here makes any but atomic accesses.
        unsafe { AtomicU8::from_ptr(std::ptr::with_exposed_provenance_mut(self.address + at)) }
    }

    /// Four bytes at a multiple of four, which other processes may change at any time.
    ///
    /// # Panics
    /// When they are not inside, or begin elsewhere.
    #[inline]
    pub(crate) fn atomic(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4), "an atomic at {at}");
        self.check(at, 4);
        // SAFETY: as for `byte`, of four bytes; the mapping begins at a page, so they are aligned.
        unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(self.address + at)) }
    }

    /// `at` is a multiple of a word's length.
    fn word(&self, at: usize) -> &AtomicUsize {
        // SAFETY: as for `byte`, of the whole word; the mapping begins at a page, so the word is aligned.
        unsafe { AtomicUsize::from_ptr(std::ptr::with_exposed_provenance_mut(self.address + at)) }
    }

    /// Copies out of it. Relaxed: other processes' stores are seen in no promised order.
    ///
    /// # Panics
    /// When it is not inside.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        let (head, words) = split(offset, into.len());
        let (first, rest) = into.split_at_mut(head);
        let (middle, last) = rest.split_at_mut(words * WORD);
        for (at, byte) in first.iter_mut().enumerate() {
            *byte = self.byte(offset + at).load(Ordering::Relaxed);
        }
        for (at, word) in middle.chunks_exact_mut(WORD).enumerate() {
            let value = self.word(offset + head + at * WORD).load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
        }
        let done = offset + head + words * WORD;
        for (at, byte) in last.iter_mut().enumerate() {
            *byte = self.byte(done + at).load(Ordering::Relaxed);
        }
    }

    /// Copies into it. Relaxed, as `read`.
    ///
    /// # Panics
    /// When it is not inside.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        let (head, words) = split(offset, from.len());
        let (first, rest) = from.split_at(head);
        let (middle, last) = rest.split_at(words * WORD);
        for (at, byte) in first.iter().enumerate() {
            self.byte(offset + at).store(*byte, Ordering::Relaxed);
        }
        for (at, word) in middle.as_chunks::<WORD>().0.iter().enumerate() {
            let value = usize::from_ne_bytes(*word);
            self.word(offset + head + at * WORD)
                .store(value, Ordering::Relaxed);
        }
        let done = offset + head + words * WORD;
        for (at, byte) in last.iter().enumerate() {
            self.byte(done + at).store(*byte, Ordering::Relaxed);
        }
    }
}

/// How many bytes come before the first whole word, and how many words then.
fn split(offset: usize, len: usize) -> (usize, usize) {
    let head = (offset.next_multiple_of(WORD) - offset).min(len);
    (head, (len - head) / WORD)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            let start = std::ptr::with_exposed_provenance_mut(self.address);
            // SAFETY: mapped by `of` at this length; whoever borrows from `self` has let go of it.
            let _ = unsafe { rustix::mm::munmap(start, self.len) };
        }
    }
}

/// Makes a memory file of so many zeroes, which can become neither shorter nor longer, and maps it.
///
/// # Errors
/// When there is not so much memory or no descriptor; `Unsupported` on a system without such files.
#[cfg(target_os = "linux")]
pub(crate) fn create(len: usize) -> io::Result<(OwnedFd, Mapping)> {
    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("greenloom", flags)?;
    ftruncate(&fd, len as u64)?;
    fcntl_add_seals(&fd, seals())?;
    use std::os::fd::AsFd;
    let mapping = Mapping::of(fd.as_fd(), len)?;
    Ok((fd, mapping))
}

/// Maps a memory file that somebody has sent, and that he says has so many bytes.
///
/// # Errors
/// `InvalidData` when it has not, or could be made shorter or longer.
#[cfg(target_os = "linux")]
pub(crate) fn open(fd: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
    let found = rustix::fs::fcntl_get_seals(fd)
        .map_err(|_| invalid("a descriptor that is no shared memory"))?;
    if !found.contains(seals()) {
        return Err(invalid("shared memory that could be cut off"));
    }
    let size = rustix::fs::fstat(fd)?.st_size;
    if u64::try_from(size) != Ok(len as u64) {
        return Err(invalid("shared memory of another length"));
    }
    Mapping::of(fd, len)
}

#[cfg(target_os = "linux")]
fn seals() -> rustix::fs::SealFlags {
    use rustix::fs::SealFlags;
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

#[cfg(not(target_os = "linux"))]
fn unsupported() -> io::Error {
    let text = "shared memory needs Linux's memory files with seals";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn create(_len: usize) -> io::Result<(OwnedFd, Mapping)> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn open(_fd: BorrowedFd<'_>, _len: usize) -> io::Result<Mapping> {
    Err(unsupported())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    use std::os::fd::AsFd;

    #[test]
    fn every_offset_and_length_reads_what_was_written() {
        let (_fd, mapping) = create(64).unwrap();
        for offset in 0..24 {
            for len in 0..=32 {
                mapping.write(0, &[0; 64]);
                let text: Vec<u8> = (1..=len as u8).collect();
                mapping.write(offset, &text);
                let mut all = [9; 64];
                mapping.read(0, &mut all);
                let mut wanted = [0; 64];
                wanted[offset..][..len].copy_from_slice(&text);
                assert_eq!(all, wanted, "{len} bytes from {offset}");
                let mut part = vec![9; len];
                mapping.read(offset, &mut part);
                assert_eq!(part, text);
            }
        }
    }

    #[test]
    fn what_could_be_cut_off_is_refused() {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("greenloom", flags).unwrap();
        ftruncate(&fd, 16).unwrap();
        assert!(open(fd.as_fd(), 16).is_err());
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert!(open(fd.as_fd(), 16).is_err(), "seals could be added");
        fcntl_add_seals(&fd, SealFlags::SEAL).unwrap();
        assert!(open(fd.as_fd(), 17).is_err());
        assert_eq!(open(fd.as_fd(), 16).unwrap().len(), 16);
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(open(reader.as_fd(), 0).is_err());
    }

    #[test]
    fn the_memory_cannot_be_cut_off() {
        let (fd, _mapping) = create(4096).unwrap();
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
        assert!(rustix::fs::ftruncate(&fd, 8192).is_err());
        assert!(rustix::fs::fcntl_add_seals(&fd, rustix::fs::SealFlags::WRITE).is_err());
    }
}
