//! Memory of a stack: size classes, slots with guards, reuse, overflow reports.
#![allow(unsafe_code)] // PLACEHOLDER engine below is replaced by region.rs/pool.rs

use std::io;
use std::num::NonZeroUsize;
use std::panic::Location;

/// A validated stack size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSize(usize);

/// A stack size that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStackSize(usize);

impl StackSize {
    /// 256 KiB of address space, guard included.
    pub const DEFAULT: StackSize = StackSize(256 * 1024);
    /// Validates and rounds `bytes`.
    pub fn new(bytes: usize) -> Result<StackSize, InvalidStackSize> {
        if bytes == 0 || bytes > 1 << 30 {
            return Err(InvalidStackSize(bytes));
        }
        Ok(StackSize(
            (bytes.max(32 * 1024) + 16 * 1024).next_power_of_two(),
        ))
    }
    /// Bytes of address space, guard included.
    pub fn bytes(self) -> usize {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Task,
    Coroutine,
    Generator,
    Greenlet,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) place: &'static Location<'static>,
    pub(crate) name: &'a str,
}

#[derive(Debug)]
pub(crate) struct Stack {
    base: NonZeroUsize,
    size: usize,
}

impl Stack {
    pub(crate) fn set_label(&self, _label: Label<'_>) {}
    pub(crate) fn size(&self) -> StackSize {
        StackSize(self.size)
    }
}

// SAFETY: placeholder.
unsafe impl corosensei::stack::Stack for Stack {
    fn base(&self) -> NonZeroUsize {
        self.base
    }
    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.base.get() - self.size).unwrap()
    }
}

fn map(size: StackSize) -> io::Result<Stack> {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
    // SAFETY: placeholder.
    unsafe {
        let p = mmap_anonymous(
            std::ptr::null_mut(),
            size.0,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )?;
        mprotect(p, 16384, MprotectFlags::empty())?;
        Ok(Stack {
            base: NonZeroUsize::new(p as usize + size.0).unwrap(),
            size: size.0,
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct StackPool {
    free: Vec<Stack>,
}

impl StackPool {
    pub(crate) fn new() -> Self {
        StackPool::default()
    }
    pub(crate) fn acquire(&mut self, size: StackSize) -> io::Result<Stack> {
        match self.free.last() {
            Some(s) if s.size == size.0 => Ok(self.free.pop().unwrap()),
            _ => map(size),
        }
    }
    pub(crate) fn release(&mut self, stack: Stack) {
        self.free.push(stack);
    }
}

/// A stack for a bare coroutine of this thread.
pub(crate) fn thread_acquire(size: StackSize) -> io::Result<Stack> {
    map(size)
}
