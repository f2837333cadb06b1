//! What a process asks and does before its `main`: was it started to run a function, and by whom?
//!
//! Everything here is called by `process::entry`, on the one thread that there is before `main`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::stdin;

/// The mark in the environment of a process that was started to run functions; its value says how many such
/// processes stand above it. Two versions of this crate in one program do not take each other's.
pub(crate) const MARK: &CStr = match CStr::from_bytes_with_nul(
    concat!("GREENLOOM_PROCESS_", env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
) {
    Ok(mark) => mark,
    Err(_) => panic!("one zero byte, at the end"),
};

/// Descriptors below this are what programs expect to get when they open their first files.
const HIGH: i32 = 64;

/// Arguments of a constructor, as the C library hands them over.
pub(crate) type Arguments = (c_int, *const *const c_char, *const *const c_char);

/// An entry of the table of constructors.
pub(crate) type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// What the environment and standard input say of this process's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is a program like any other.
    None,
    /// It was to run functions, but its parent has died before it could begin.
    Orphan,
    /// It is to run functions, so deep below the process that was started by hand.
    Child(u32),
}

/// The mark, if it is to be trusted: without more privileges than those of whoever wrote it, standard input a
/// socket whose other end was made by our parent, for our user.
pub(crate) fn mark() -> Mark {
    // SAFETY: the name is a C string; nobody changes the environment before `main`.
    let value = unsafe { libc::getenv(MARK.as_ptr()) };
    if value.is_null() || has_privileges() {
        return Mark::None;
    }
    // SAFETY: `getenv` returned a C string of the environment.
    let value = unsafe { CStr::from_ptr(value) };
    let Some(depth) = value.to_str().ok().and_then(|value| value.parse().ok()) else {
        return Mark::None;
    };
    match origin() {
        Origin::Parent => Mark::Child(depth),
        Origin::Dead => Mark::Orphan,
        Origin::Other => Mark::None,
    }
}

/// Who has made the socket that is standard input.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    expect(
        dead_code,
        reason = "where the other end cannot be asked for, it is always another"
    )
)]
enum Origin {
    Parent,
    /// A process of our user that is gone: it was our parent, for who else gives us a mark and such a socket.
    Dead,
    Other,
}

/// Whether the program was given rights that its caller may lack (set-user-ID and the like).
fn has_privileges() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: a plain question to the auxiliary vector.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // SAFETY: plain questions.
        unsafe { libc::issetugid() != 0 }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn origin() -> Origin {
    let is_unix = rustix::net::getsockname(stdin())
        .is_ok_and(|name| name.address_family() == rustix::net::AddressFamily::UNIX);
    let peer = rustix::net::sockopt::socket_peercred(stdin());
    let Some(peer) = peer
        .ok()
        .filter(|peer| is_unix && peer.uid == rustix::process::getuid())
    else {
        return Origin::Other;
    };
    // A process that dies closes its descriptors before its children get another parent.
    match rustix::process::getppid() {
        parent if parent == Some(peer.pid) => Origin::Parent,
        _ if super::socket::is_hung_up(stdin()) => Origin::Dead,
        _ => Origin::Other,
    }
}

/// Where the pid of the other end cannot be asked for, no process is started this way.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn origin() -> Origin {
    Origin::Other
}

/// Takes the mark out of the environment, so that this process's own children do not see it.
pub(crate) fn unmark() {
    // SAFETY: the name is a C string; there is one thread before `main`.
    unsafe { libc::unsetenv(MARK.as_ptr()) };
}

/// Moves the control socket out of the way of standard input, which becomes the null device.
pub(crate) fn take_control() -> io::Result<OwnedFd> {
    let control =
        fcntl_dupfd_cloexec(stdin(), HIGH).or_else(|_| fcntl_dupfd_cloexec(stdin(), 3))?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(control)
}

/// As std's start does it, which has not run: a write to a pipe that nobody reads is an error, not an end.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Runs the constructors that the table lists after this one, as the C library would have after it.
///
/// Statics of other crates that rely on theirs would otherwise be seen unfinished by whatever runs here.
pub(crate) fn run_constructors_after(own: Constructor, arguments: Arguments) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    for constructor in table_after(own) {
        let (argc, argv, envp) = arguments;
        constructor(argc, argv, envp);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (own, arguments);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn table_after(own: Constructor) -> Vec<Constructor> {
    unsafe extern "C" {
        // The linker's marks round the table of the program.
        static __init_array_start: [usize; 0];
        static __init_array_end: [usize; 0];
    }
    let (start, end) = (
        (&raw const __init_array_start).cast::<usize>(),
        (&raw const __init_array_end).cast::<usize>(),
    );
    let length = (end.addr() - start.addr()) / size_of::<usize>();
    // SAFETY: the linker lays the table out between its marks; it is constant once the program runs.
    let table = unsafe { std::slice::from_raw_parts(start, length) };
    let is_own = |entry: &usize| *entry == own as usize;
    let after = table.iter().position(is_own).map_or(length, |at| at + 1);
    let is_there = |entry: &&usize| **entry != 0 && **entry != usize::MAX;
    table[after..]
        .iter()
        .filter(is_there)
        // SAFETY: by the linker's contract each entry is a constructor, called once with these arguments:
        // here instead of by the C library, which does not get to it, for the caller never returns.
        .map(|entry| unsafe { std::mem::transmute::<usize, Constructor>(*entry) })
        .collect()
}

/// Has the C library call `handler` when the process exits, by the end of `main` or by `exit`.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn at_exit(handler: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the handler is a function of the main program, which is there to the end.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Ends the process at once: no destructors, no exit handlers, nothing flushed.
pub(crate) fn end_now(status: i32) -> ! {
    // SAFETY: it does not return, so no one sees what it leaves behind.
    unsafe { libc::_exit(status) }
}

/// The program that runs here, to be started again, even if it was replaced on disk meanwhile.
///
/// # Errors
/// When it cannot be found: `/proc` is not mounted, and it was not started by an absolute path.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        return Ok(link.to_owned());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(path) = started_as().filter(|path| path.is_absolute() && path.exists()) {
        return Ok(path);
    }
    let text = "this program's own file cannot be found: /proc is not mounted, \
                and the program was not started by an absolute path";
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// The path that the kernel was given for this program.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn started_as() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: a plain question to the auxiliary vector.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    let path = std::ptr::with_exposed_provenance::<c_char>(path);
    if path.is_null() {
        return None;
    }
    // SAFETY: the kernel has put a C string there, which stays for the life of the process.
    let path = unsafe { CStr::from_ptr(path) };
    Some(std::ffi::OsStr::from_bytes(path.to_bytes()).into())
}
