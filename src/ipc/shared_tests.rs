//! Shared memory that comes from somebody who is not to be trusted.

use super::*;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::ipc::parcel::Parcel;
use crate::ipc::place::Place;

const LEN: usize = 4096;

/// A memory file that somebody else has made.
fn foreign(seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("not ours", flags).unwrap();
    ftruncate(&file, LEN as u64).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

/// What somebody who speaks the language of shared memory says of a file that he has made.
fn message(file: OwnedFd, len: usize) -> Parcel {
    Parcel::pack(&(len as u64, Passed(file))).unwrap()
}

#[test]
fn memory_that_its_sender_can_still_cut_off_is_refused_on_receipt() {
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    for lacking in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL, all] {
        let seals = all.difference(lacking);
        let received = message(foreign(seals), LEN).unpack::<SharedMemory>();
        assert!(received.is_err(), "it could be cut off: {seals:?}");
        assert!(Place::open(foreign(seals)).is_err());
    }
    let received = message(foreign(all), LEN).unpack::<SharedMemory>();
    assert_eq!(received.unwrap().len(), LEN);
}

#[test]
fn memory_of_another_length_than_was_said_is_refused() {
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    for len in [0, LEN - 1, LEN + 1, usize::MAX] {
        let received = message(foreign(all), len).unpack::<SharedMemory>();
        assert!(received.is_err(), "{len} bytes were said");
    }
    // A lock's is one word.
    assert!(Place::open(foreign(all)).is_err());
}

#[test]
fn what_is_no_memory_is_refused() {
    let (reader, writer) = std::io::pipe().unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    for fd in [reader.into(), writer.into(), file.into()] {
        assert!(message(fd, LEN).unpack::<SharedMemory>().is_err());
    }
}
