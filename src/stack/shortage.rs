//! The error of a stack that could not be had: it names the limit, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

use crate::stack::global::SPARE;
use crate::stack::size::StackSize;
use crate::sys::memory::{self, Shortage};

/// Why no stack could be mapped.
#[derive(Debug)]
struct NoStack {
    size: StackSize,
    /// Stacks there are already, of all sizes.
    stacks: usize,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// Our own table of mappings is full.
    Regions,
    /// A limit of the system.
    System(Shortage),
    /// What the system said, when it was not for want of memory.
    Other(io::Error),
}

/// Turns what the system said into an error for people.
pub(super) fn describe(size: StackSize, stacks: usize, error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::QuotaExceeded => Reason::Regions,
        io::ErrorKind::OutOfMemory => Reason::System(memory::shortage(needed(size))),
        _ => Reason::Other(error),
    };
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        NoStack {
            size,
            stacks,
            reason,
        },
    )
}

/// What a mapping for one stack asked for: room to align it, and what is left to the heap.
fn needed(size: StackSize) -> usize {
    2 * size.bytes() + SPARE
}

/// The error of a stack that would take the last of the mappings a process may have.
pub(super) fn out_of_maps(size: StackSize, stacks: usize, limit: usize) -> io::Error {
    let reason = Reason::System(Shortage::MapCount(limit));
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        NoStack {
            size,
            stacks,
            reason,
        },
    )
}

impl fmt::Display for NoStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoStack {
            size,
            stacks,
            reason,
        } = self;
        write!(
            f,
            "no memory for a stack of {} KiB beside the {stacks} there are: ",
            size.bytes() / 1024
        )?;
        match reason {
            Reason::Regions => f.write_str("too many small mappings; use a smaller stack size or fewer stacks"),
            Reason::System(Shortage::AddressSpace(limit)) => write!(
                f,
                "the address space limit of {} KiB (RLIMIT_AS, `ulimit -v`) is reached; raise it, or use a smaller stack size",
                limit / 1024
            ),
            Reason::System(Shortage::Data(limit)) => write!(
                f,
                "the limit of {} KiB on private memory (RLIMIT_DATA, `ulimit -d`) is reached; raise it, or use a smaller stack size",
                limit / 1024
            ),
            Reason::System(Shortage::MapCount(limit)) => write!(
                f,
                "the limit of {limit} mappings (sysctl vm.max_map_count) is reached; raise it, or run Linux 6.13 or later, \
                 where stacks take no mappings"
            ),
            Reason::System(Shortage::Overcommit) => f.write_str(
                "the kernel counts address space as memory (sysctl vm.overcommit_memory is 2); raise vm.overcommit_ratio, \
                 or use a smaller stack size",
            ),
            Reason::System(Shortage::Memory) => f.write_str("the system is out of memory; use fewer stacks at a time"),
            Reason::Other(error) => error.fmt(f),
        }
    }
}

impl Error for NoStack {}
