//! How large a stack is: one power of two of address space, guard included.

use std::error::Error;
use std::fmt;
use std::io;

use crate::sys::memory;

/// The size of a stack, rounded up to a power of two of address space.
///
/// A stack takes memory only where it has been used, page by page: a generous size costs address space,
/// and 1/512 of it in page tables.
///
/// The lowest 16 KiB of that address space are the guard. Of the highest, about a kibibyte is ours: it
/// holds the name that an overflow is reported with, and keeps the tops of stacks off each other's cache
/// lines.
///
/// # Examples
///
/// ```
/// use greenloom::stack::StackSize;
///
/// let size = StackSize::new(100 * 1024)?;
/// assert_eq!(size.bytes(), 128 * 1024);
/// assert_eq!(size.usable(), 112 * 1024);
/// # Ok::<(), greenloom::stack::InvalidStackSize>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackSize {
    /// The power of two; from `SMALLEST` to `LARGEST`.
    shift: u8,
}

/// 64 KiB: the least that holds a guard and `LEAST_USABLE`.
const SMALLEST: u8 = 16;
/// 1 GiB.
const LARGEST: u8 = 30;
/// A printed panic with a backtrace needs 22 KiB, and a signal handler of a foreign library may come on top.
const LEAST_USABLE: usize = 32 * 1024;
const MOST: usize = 1 << LARGEST;
const LEAST_GUARD: usize = 16 * 1024;

/// How many sizes there are.
pub(super) const CLASSES: usize = (LARGEST - SMALLEST) as usize + 1;

impl StackSize {
    /// 256 KiB of address space, of which 240 KiB can be used; 1 MiB under AddressSanitizer
    /// (`--cfg gl_asan`), whose frames are several times as large.
    pub const DEFAULT: StackSize = StackSize {
        shift: if cfg!(gl_asan) { 20 } else { 18 },
    };

    /// A size of at least `bytes` of address space, guard included, rounded up to a power of two.
    ///
    /// The least is 64 KiB, which leaves 48 KiB beside the guard: less could not print a panic with its
    /// backtrace.
    ///
    /// # Errors
    ///
    /// For 0, and for more than 1 GiB.
    pub fn new(bytes: usize) -> Result<StackSize, InvalidStackSize> {
        if bytes == 0 || bytes > MOST {
            return Err(InvalidStackSize { bytes });
        }
        let slot = bytes.max(LEAST_USABLE + guard_size()).next_power_of_two();
        let shift = (slot.trailing_zeros() as u8).max(SMALLEST);
        Ok(StackSize { shift })
    }

    /// Bytes of address space, guard included.
    pub fn bytes(self) -> usize {
        1 << self.shift
    }

    /// Bytes of stack above the guard.
    pub fn usable(self) -> usize {
        self.bytes() - guard_size()
    }

    /// The place of this size among all, from 0 to `CLASSES - 1`.
    #[inline]
    pub(super) fn class(self) -> usize {
        usize::from(self.shift - SMALLEST)
    }

    /// The power of two.
    #[inline]
    pub(super) fn shift(self) -> u8 {
        self.shift
    }

    /// The inverse of `shift`, of a size that was valid before.
    #[inline]
    pub(super) fn from_shift(shift: u8) -> StackSize {
        debug_assert!(
            (SMALLEST..=LARGEST).contains(&shift),
            "stack size 2^{shift}"
        );
        StackSize { shift }
    }
}

impl Default for StackSize {
    fn default() -> Self {
        StackSize::DEFAULT
    }
}

impl fmt::Debug for StackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StackSize({} KiB)", self.bytes() / 1024)
    }
}

/// Bytes of the guard of every stack: whole pages, and wide enough to stop C code, which skips pages.
pub(super) fn guard_size() -> usize {
    LEAST_GUARD.max(memory::page_size())
}

/// A stack size that cannot be had: 0, or more than 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStackSize {
    bytes: usize,
}

impl fmt::Display for InvalidStackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a stack of {} bytes was asked for: it must be more than 0 and at most 1 GiB",
            self.bytes
        )
    }
}

impl Error for InvalidStackSize {}

impl From<InvalidStackSize> for io::Error {
    fn from(error: InvalidStackSize) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}
