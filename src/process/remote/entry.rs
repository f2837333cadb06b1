//! Where a child begins: before `main`, which it never reaches, it turns to its control socket and serves jobs.
//!
//! [`ENTRY`] stands in the table of functions that the C library calls before `main`. In a process that nobody
//! marked as a child it returns at once. In a child it lets the rest of the table run, as it would have run
//! before `main`, and then serves on the process's first thread until the parent says goodbye.
//!
//! So programs and their tests need no line of code for it, `main` is not run again, and nothing of the
//! parent's state is there but what a constructor or a constant made.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::io::Limit;
use crate::ipc::link::{Frame, Incoming, Outgoing, Wire};
use crate::ipc::parcel::{LONGEST, Parcel};
use crate::sys::child::{self, Constructor, Mark};
use crate::sys::image::image;
use crate::sys::socket;

use super::function::{self, Failure};
use super::panics;
use super::protocol::{self, Hello, Start};

/// Children of children of children, and so on: a program that starts itself without end stops here.
const DEEPEST: u32 = 16;

/// The status of a child whose last function did not come to a value: that of a program whose `main` panics.
const NO_VALUE: i32 = 101;

/// The status of a child that could not begin.
const UNUSABLE: i32 = 70;

// SAFETY: the C library calls each entry of the section once, on the first thread, with these arguments (or
// with none, which leaves them unread); the entry does nothing in a process that is not marked.
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
#[used]
static ENTRY: Constructor = enter;

/// How many processes stand between this one and the one that was started by hand.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// What this process was told that it is; unset in one that was not started by us.
static SELF: OnceLock<Start> = OnceLock::new();

/// The entry was called before `main`.
static HAS_RUN: AtomicBool = AtomicBool::new(false);

/// The depth of this process's children.
///
/// # Errors
/// When children cannot be started from here: too deep, or the entry is not in the program's table, as in a
/// library that was loaded later.
pub(super) fn next_depth() -> io::Result<u32> {
    // Its mention keeps the entry in the program.
    std::hint::black_box(&ENTRY);
    let has_run = HAS_RUN.load(Ordering::Relaxed);
    if !has_run
        || image()?
            .offset(enter as Constructor as *const () as usize)
            .is_none()
    {
        let text = "greenloom is part of a library that was loaded into another program: \
                    a new process would run that program and not find the function";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    match DEPTH.load(Ordering::Relaxed) + 1 {
        depth if depth > DEEPEST => {
            let text =
                format!("processes started by processes, {DEEPEST} deep: is it without end?");
            Err(io::Error::other(text))
        }
        depth => Ok(depth),
    }
}

/// Says whether functions of this program can be run in processes of their own from here.
///
/// A program needs no such call: children turn off before `main` by themselves. It is for those who want to know
/// early, and for builds that leave out what nobody mentions: this mention keeps the children's entry in. Called at
/// the beginning of `main`, it turns a fault that would show at the first [`Process`](super::Process) into one at
/// the start. In a child it is never reached.
///
/// # Errors
///
/// `Unsupported` in a library that was loaded into another program, which a new process would run instead;
/// `NotFound` when the program's own file cannot be found; others when it is started by itself without end.
///
/// # Examples
///
/// ```
/// greenloom::process::init()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn init() -> io::Result<()> {
    super::launch::check()
}

/// The name that this process was given by its parent; `None` in one that was not started by
/// [`Process`](super::Process) or a pool.
pub fn current_name() -> Option<&'static str> {
    SELF.get().map(|start| start.name.as_str())
}

extern "C" fn enter(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    HAS_RUN.store(true, Ordering::Relaxed);
    let depth = match child::mark() {
        Mark::None => return,
        Mark::Orphan => child::end_now(UNUSABLE),
        Mark::Child(depth) => depth,
    };
    DEPTH.store(depth, Ordering::Relaxed);
    child::unmark();
    child::run_constructors_after(enter, (argc, argv, envp));
    let status = match serve() {
        Ok(status) => status,
        Err(error) => {
            // The parent has gone, or speaks another language: nobody is left to tell.
            log::debug!("a child ends: {error}");
            UNUSABLE
        }
    };
    std::process::exit(status)
}

/// The status with which to end.
fn serve() -> io::Result<i32> {
    child::ignore_sigpipe();
    let wire = Wire::new(child::take_control()?);
    let fingerprint = image()?.fingerprint;
    let hello = Hello {
        fingerprint,
        pid: std::process::id(),
    };
    send(&wire, protocol::HELLO, 0, pack(&hello)?)?;
    let mut incoming = Incoming::new(LONGEST);
    let start = match incoming.recv(&wire, Limit::Never)? {
        Some(Frame {
            kind: protocol::START,
            parcel,
            ..
        }) => parcel.unpack::<Start>().map_err(io::Error::other)?,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if start.fingerprint != fingerprint {
        return Err(io::Error::other(
            "the parent runs another build of the program",
        ));
    }
    if start.is_watched {
        watch(&wire)?;
    }
    SELF.set(start).map_err(|_| io::ErrorKind::AlreadyExists)?;
    panics::note();
    let mut status = 0;
    while let Some(frame) = incoming.recv(&wire, Limit::Never)? {
        match frame.kind {
            protocol::JOB => status = answer(&wire, frame)?,
            protocol::BYE => break,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(status)
}

/// Ends this process when the parent does, also in the midst of a job.
fn watch(wire: &Wire) -> io::Result<()> {
    let control = wire.as_fd().try_clone_to_owned()?;
    let watcher = move || {
        socket::wait_for_hang_up(control.as_fd());
        child::end_now(UNUSABLE)
    };
    std::thread::Builder::new()
        .name("greenloom-watch".to_owned())
        .stack_size(64 * 1024)
        .spawn(watcher)?;
    Ok(())
}

/// Runs a job and says what it came to; the status of a process that ends after it.
fn answer(wire: &Wire, job: Frame) -> io::Result<i32> {
    let (kind, parcel, status) = match function::call(job.parcel) {
        Ok(result) => (protocol::DONE, result, 0),
        Err(Failure::Codec(error)) => (protocol::FAILED, pack(&error)?, NO_VALUE),
        Err(Failure::Panicked(payload)) => match Parcel::pack(&panics::report(payload)) {
            Ok(report) => (protocol::PANICKED, report, NO_VALUE),
            // A message without end.
            Err(error) => (protocol::FAILED, pack(&error)?, NO_VALUE),
        },
    };
    send(wire, kind, job.number, parcel)?;
    Ok(status)
}

fn pack<T: serde::Serialize>(value: &T) -> io::Result<Parcel> {
    Parcel::pack(value).map_err(io::Error::other)
}

fn send(wire: &Wire, kind: u8, number: u64, parcel: Parcel) -> io::Result<()> {
    Outgoing::new(kind, number, parcel)?.send(wire, Limit::Never)
}
