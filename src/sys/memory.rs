//! Address space for stacks: mapping, guarding, giving pages back, and whom to blame when it runs out.
//!
//! These calls go through libc and not through rustix's bare system calls: the sanitizers and valgrind
//! watch libc's, and must know of memory that coroutines run on.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the pages below a stack are made to fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardKind {
    /// Guard markers in the page tables (`MADV_GUARD_INSTALL`, Linux 6.13): a stack costs no mapping.
    Madvise,
    /// Pages without access (`mprotect`): each stack costs two of the process's mappings.
    Mprotect,
}

/// What stands in the way of another mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// `RLIMIT_AS`, in bytes.
    AddressSpace(u64),
    /// `RLIMIT_DATA`, in bytes.
    Data(u64),
    /// `vm.max_map_count`, in mappings.
    MapCount(usize),
    /// `vm.overcommit_memory = 2`: the kernel counts address space as if it were all used.
    Overcommit,
    /// None of the limits that can be asked for.
    Memory,
}

/// Linux's number for it; libc has no name for it yet.
#[cfg(target_os = "linux")]
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Bytes of a page. Async-signal-safe, and cheap after the first call.
///
/// Not rustix's: that one reads the vDSO by hand, and valgrind hides it.
pub(crate) fn page_size() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    match PAGE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: reads a constant of the system.
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let page = usize::try_from(page).unwrap_or(4096);
            PAGE.store(page, Ordering::Relaxed);
            page
        }
        page => page,
    }
}

/// Maps `len` bytes of zeroes, whole pages, for good.
///
/// Nothing is committed. `spare` bytes more must be free at that moment, and are left free: the heap
/// must still grow when stacks no longer can.
pub(crate) fn map(len: usize, spare: usize) -> io::Result<usize> {
    let all = len.checked_add(spare).ok_or(io::ErrorKind::OutOfMemory)?;
    let start = map_anywhere(all)?;
    // SAFETY: the cut lies in the mapping made above, outside the `len` bytes that are kept, and
    // nobody else knows of it yet.
    unsafe { unmap(start + len, spare) };
    refuse_huge_pages(start, len);
    Ok(start)
}

/// `MAP_STACK` would make a region grow by faults on FreeBSD; on Linux it keeps huge pages away.
#[cfg(target_os = "linux")]
const MAP_FLAGS: libc::c_int = libc::MAP_NORESERVE | libc::MAP_STACK;
#[cfg(any(target_os = "macos", target_os = "ios"))]
const MAP_FLAGS: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "ios")))]
const MAP_FLAGS: libc::c_int = 0;

fn map_anywhere(len: usize) -> io::Result<usize> {
    // SAFETY: a new private mapping at an address of the kernel's choice touches no memory in use.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON | MAP_FLAGS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(start.expose_provenance())
}

fn at(start: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(start)
}

/// Takes `len` bytes of address space away again; nothing for 0.
///
/// # Safety
///
/// The range is the caller's, by `map`, and nothing points into it.
pub(crate) unsafe fn unmap(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::munmap(at(start), len) };
        // It shrinks a mapping at an end, so it needs no new one and cannot fail for want of memory.
        debug_assert_eq!(result, 0, "munmap: {}", io::Error::last_os_error());
    }
}

/// A huge page would commit dozens of pages for a stack that needs one. Kernels without huge pages
/// answer `EINVAL`, which is as good.
fn refuse_huge_pages(start: usize, len: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: it changes no byte of the range, only which pages may back it.
    unsafe {
        libc::madvise(at(start), len, libc::MADV_NOHUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
}

/// Makes every access to the range fault, now or never: an error leaves no guard.
///
/// # Safety
///
/// The range is the caller's, whole pages, by `map`, and nobody needs what is in it.
pub(crate) unsafe fn guard(start: usize, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if guard_kind() == GuardKind::Madvise {
        // SAFETY: the caller's promise.
        if unsafe { libc::madvise(at(start), len, MADV_GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        // Locked memory (`mlockall`) refuses markers; a page without access is a guard all the same.
    }
    // SAFETY: the caller's promise.
    unsafe { protect(start, len) }
}

/// # Safety
///
/// As for `guard`.
unsafe fn protect(start: usize, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { libc::mprotect(at(start), len, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the pages of the range back; it reads as zeroes from then on, or, where the system is lazy,
/// keeps its bytes for a while. Guards stay.
///
/// # Safety
///
/// The range is the caller's, whole pages, by `map`, and nobody needs what is in it.
pub(crate) unsafe fn discard(start: usize, len: usize) {
    #[cfg(target_os = "linux")]
    const ADVICE: libc::c_int = libc::MADV_DONTNEED;
    #[cfg(not(target_os = "linux"))]
    const ADVICE: libc::c_int = libc::MADV_FREE;
    if len > 0 {
        // SAFETY: the caller's promise. A refusal (locked memory) costs memory, nothing else.
        unsafe { libc::madvise(at(start), len, ADVICE) };
    }
}

/// The lowest page of the range that has memory behind it, or `None` when none has.
pub(crate) fn lowest_resident(start: usize, end: usize) -> Option<usize> {
    let page = page_size();
    let mut marks = [0_u8; 256];
    let mut from = start;
    while from < end {
        let pages = ((end - from) / page).min(marks.len());
        // SAFETY: it reads no memory of the range, and writes one byte a page into `marks`, which has
        // room for `pages` of them.
        let result = unsafe { libc::mincore(at(from), pages * page, marks.as_mut_ptr().cast()) };
        if result != 0 {
            return None;
        }
        if let Some(first) = marks[..pages].iter().position(|mark| mark & 1 != 0) {
            return Some(from + first * page);
        }
        from += pages * page;
    }
    None
}

/// The kind of guard this process uses: found out once, by trying.
pub(crate) fn guard_kind() -> GuardKind {
    static KIND: OnceLock<GuardKind> = OnceLock::new();
    *KIND.get_or_init(|| {
        let forced = std::env::var_os("GREENLOOM_GUARD").is_some_and(|kind| kind == "mprotect");
        match !forced && markers_work() {
            true => GuardKind::Madvise,
            false => GuardKind::Mprotect,
        }
    })
}

/// Installs a marker and asks the kernel to read behind it: emulators (qemu-user) answer "done" to the
/// advice and do nothing, so the answer alone proves nothing.
#[cfg(target_os = "linux")]
fn markers_work() -> bool {
    use std::os::fd::AsRawFd;
    let page = page_size();
    let Ok(start) = map_anywhere(page) else {
        return false;
    };
    // SAFETY: the page was mapped above and nobody else knows of it.
    let installed = unsafe { libc::madvise(at(start), page, MADV_GUARD_INSTALL) } == 0;
    let works = installed
        && io::pipe().is_ok_and(|(_reader, writer)| {
            // SAFETY: a marked page is answered by `EFAULT`, an unmarked one is a byte of zero.
            let wrote = unsafe { libc::write(writer.as_raw_fd(), at(start), 1) };
            wrote == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
        });
    // SAFETY: as above; nothing points into the page.
    unsafe { unmap(start, page) };
    works
}

#[cfg(not(target_os = "linux"))]
fn markers_work() -> bool {
    false
}

/// The most mappings this process may have, where there is such a limit.
pub(crate) fn map_count_limit() -> Option<usize> {
    static LIMIT: OnceLock<Option<usize>> = OnceLock::new();
    *LIMIT.get_or_init(|| proc_number("/proc/sys/vm/max_map_count"))
}

/// Why `needed` more bytes could not be had; a guess that starts with the limits that can be read.
///
/// It allocates nothing: the heap may have run out as well.
pub(crate) fn shortage(needed: usize) -> Shortage {
    let (total, data) = used_address_space();
    let over = |limit: Option<u64>, used: u64| limit.filter(|limit| used + needed as u64 > *limit);
    if let Some(limit) = over(soft_limit(libc::RLIMIT_AS), total) {
        return Shortage::AddressSpace(limit);
    }
    if let Some(limit) = over(soft_limit(libc::RLIMIT_DATA), data) {
        return Shortage::Data(limit);
    }
    if let Some(limit) = map_count_limit()
        && count_lines("/proc/self/maps") + 8 > limit
    {
        return Shortage::MapCount(limit);
    }
    if proc_number("/proc/sys/vm/overcommit_memory") == Some(2) {
        return Shortage::Overcommit;
    }
    Shortage::Memory
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn soft_limit(resource: Resource) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    #[allow(clippy::unnecessary_cast, reason = "signed on FreeBSD")]
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64)
}

/// Bytes of address space and of private writable memory in use; zero where nothing tells.
fn used_address_space() -> (u64, u64) {
    let mut buffer = [0_u8; 128];
    let page = page_size() as u64;
    let mut fields = read_start("/proc/self/statm", &mut buffer).split(' ');
    let mut field = |skip| {
        fields
            .nth(skip)
            .and_then(|text| text.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    (field(0) * page, field(4) * page)
}

fn proc_number(path: &str) -> Option<usize> {
    let mut buffer = [0_u8; 32];
    read_start(path, &mut buffer).trim().parse().ok()
}

fn read_start<'a>(path: &str, buffer: &'a mut [u8]) -> &'a str {
    use std::io::Read;
    let read = std::fs::File::open(path).and_then(|mut file| file.read(buffer));
    str::from_utf8(&buffer[..read.unwrap_or(0)]).unwrap_or("")
}

fn count_lines(path: &str) -> usize {
    use std::io::Read;
    let Ok(mut file) = std::fs::File::open(path) else {
        return 0;
    };
    let mut buffer = [0_u8; 4096];
    let mut lines = 0;
    while let Ok(read @ 1..) = file.read(&mut buffer) {
        lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
    }
    lines
}
