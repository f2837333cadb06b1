//! Stackful coroutines and green threads: code that reads like blocking code, a million tasks at a time.
//!
//! A green thread, called a *task* here, has a stack of its own. So it can wait anywhere, at any depth of
//! calls and inside of anybody's code, and nothing waits but itself: the OS thread under it, its *worker*,
//! goes on with other tasks. There is no `async`, no second kind of function and no second library: the
//! calls have std's names and shapes.
//!
#![cfg_attr(feature = "runtime", doc = "```")]
#![cfg_attr(not(feature = "runtime"), doc = "```ignore")]
//! use std::io::{self, Read, Write};
//! use greenloom::net::{Shutdown, TcpListener, TcpStream};
//!
//! # fn main() -> io::Result<()> {
//! greenloom::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     greenloom::spawn(move || {
//!         for stream in listener.incoming().flatten() {
//!             greenloom::spawn(move || io::copy(&mut &stream, &mut &stream)); // a task each
//!         }
//!     });
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"and back")?;
//!     stream.shutdown(Shutdown::Write)?;
//!     let mut echo = String::new();
//!     stream.read_to_string(&mut echo)?;
//!     assert_eq!(echo, "and back");
//!     Ok(()) // what is left, the server here, is cancelled and joined
//! })
//! # }
//! ```
//!
//! # What there is
//!
//! | module | for |
//! |---|---|
//! | [`coroutine`] | `Coroutine`, `Generator`, `Greenlet` and `suspend`: complete without all of the below |
//! | [`stack`] | the size of stacks, how many there are, what they take |
//! | [`runtime`] | where tasks run: settings, several runtimes, the default one |
//! | [`task`] | tasks: spawned, joined, cancelled, scoped, parked |
//! | [`time`] | sleeping, time-outs, the clock that a runtime goes by |
//! | [`sync`] | locks, semaphores, events: between tasks, OS threads, and both |
//! | [`thread`] | std's names for threads, on tasks: for programs that are ported |
//! | [`mod@select`] | waiting for several things at once, to do one of them |
//! | [`channel`] | values handed from one to another: bounded, unbounded, rendezvous, oneshot, broadcast, watch, ticks |
//! | [`queue`] | queues of work in three orders, with an account of what is done; two-way pipes |
//! | [`pool`] | bounded work: at most so many tasks at a time, maps over them |
//! | [`net`] | TCP, UDP and the sockets of the file system with std's names; servers |
//! | [`io`] | waiting for any other descriptor, copying, the standard input |
//! | [`fs`] | files, read and written on other threads |
//! | [`signal`] | signals of the system, waited for |
//! | [`process`] | other programs, and functions of this one in processes of their own |
//! | [`ipc`] | what processes say to one another: pipes, queues, locks, managers, shared memory |
//! | [`future`] | futures of any crate, run by a task or a thread |
//! | [`thread_pool`] | OS threads for work that blocks or computes, so many at a time |
//! | [`logging`] | log lines that say which thread or task they come from |
//! | [`unblock`] | work that blocks a thread, done on a thread of its own |
//!
//! The calls that std has in `std::thread` stand here at the top: [`spawn`], [`sleep`], [`park`],
//! [`scope`], [`current`], [`yield_now`], [`Builder`]. Porting a threaded program is changing its `use`
//! lines.
//!
//! # Where tasks run
//!
//! [`run`] makes the calling thread a worker and its closure the first task, and returns when nothing is
//! left. A [`Runtime`] keeps workers in the background. [`spawn`] goes to the runtime that it is called in;
//! on a plain thread to the default runtime, which starts with the first such call.
//!
//! A task is started by whichever worker has time, and then stays on that worker's thread to its end. So
//! it may hold anything while it waits: `Rc`s, borrowed `RefCell`s, references to thread-locals. The
//! price: load is balanced when tasks start, not later. Nothing is preempted: a task that computes for
//! long without waiting calls [`yield_now`] now and then.
//!
//! # What blocks what
//!
//! A wait in [`net`], [`io`], [`sync`], [`channel`], [`time`] or [`task`] suspends its task and nothing else.
//! Any other blocking call blocks the worker, with all its tasks:
//!
//! * Computing, reading a file, a library that waits by itself: hand it to [`unblock`], or [`yield_now`] now
//!   and then.
//! * **std's locks over a wait.** Holding a `std::sync::Mutex` (or `RwLock`, or `stdout().lock()`, or a
//!   `Once` or `LazyLock` that is being initialised) while the task waits is sound, but another task of the
//!   same worker that wants it then blocks the thread on which the holder would go on: both wait for ever,
//!   and no report comes, for the worker does not sleep. Let go of such a lock before waiting, or use
//!   [`sync::Mutex`], which suspends whoever wants it.
//! * In a panic hook a wait blocks the thread: a hook must not be suspended.
//!
//! # How tasks end
//!
//! By returning; by a panic, which goes to whoever joins them; or because they are cancelled, by
//! [`JoinHandle::cancel`], a [`timeout`], or the end of their scope or runtime. A cancelled task *unwinds*
//! from where it waits: every destructor runs, no panic hook is called, no lock of [`sync`] is poisoned.
//! [`shield`] keeps it out of a section that must finish. Destructors may wait while they are at it. Sections
//! of a task are ended the same way by a [`task::CancelToken`]; a [`task::TaskGroup`] ends all its tasks when one
//! fails.
//!
//! When every task waits and nothing can wake one, that is a deadlock: by default the main task's call
//! panics with a table of who waits for what, and where. See [`OnDeadlock`].
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `runtime` (default) | all but [`coroutine`], [`stack`] and the next line; brings mio, slab, socket2, signal-hook and shlex |
//! | `process` (default) | functions in other processes, and [`ipc`]; brings serde, postcard, bytemuck, hmac and sha2 |
//! | `futures-io` | `AsyncRead` and `AsyncWrite` for the streams of [`net`], for any executor; brings futures-io |
//!
//! Without `runtime` there are no threads, no clocks and no sockets: a layer to build other schedulers on.
//!
//! # Safety
//!
//! Nothing here asks for `unsafe`: there is no public `unsafe fn`, and no safe one that breaks the rules of
//! Rust when it is used wrongly. The `unsafe` inside is confined to the files of a register, which a test
//! keeps exact. Two edges lie outside of what a library can hold:
//!
//! * A *bare* coroutine that is suspended inside [`LocalKey::with`](std::thread::LocalKey::with) and
//!   outlives its thread's locals, because it was forgotten or is stored in another of them, has a
//!   reference to what is gone. Tasks are not concerned: they end before their worker's locals do.
//! * Foreign code whose `unsafe` relies on scopes that nest on one thread (autorelease pools, interpreter
//!   locks, `scoped_tls`) must not be suspended in the middle of one: wrap it in [`no_park`].
//!
//! A stack that runs over hits a guard; the report names the task or coroutine, and the process aborts.
//!
//! With `panic = "abort"` nothing can unwind, and a panic ends the process. A cancelled task then gets errors
//! instead: from I/O, of the kind `Other` with the text "task was cancelled while waiting", and from receiving,
//! the error of a channel that has ended. Its other waits run to their end, as does whatever stands in a
//! [`timeout`], which returns late; [`task::is_cancelled`] tells a loop that asks. Tasks that are left when their
//! runtime stops stay where they are, with all that they hold; who joins one is told that it was cancelled, and
//! a [`scope`] with such a task never ends.
//!
//! # Platforms
//!
//! Unix: Linux on x86-64 is what it is developed and tested on; the README has the table. Windows is refused
//! at compile time.
#![cfg_attr(not(feature = "runtime"), doc = "")]
#![cfg_attr(
    not(feature = "runtime"),
    doc = "
[`runtime`]: #features
[`task`]: #features
[`time`]: #features
[`sync`]: #features
[`sync::Mutex`]: #features
[`channel`]: #features
[`mod@select`]: #features
[`queue`]: #features
[`net`]: #features
[`fs`]: #features
[`future`]: #features
[`thread_pool`]: #features
[`logging`]: #features
[`pool`]: #features
[`thread`]: #features
[`io`]: #features
[`signal`]: #features
[`process`]: #features
[`unblock`]: #features
[`spawn`]: #features
[`sleep`]: #features
[`park`]: #features
[`scope`]: #features
[`current`]: #features
[`yield_now`]: #features
[`Builder`]: #features
[`run`]: #features
[`Runtime`]: #features
[`JoinHandle::cancel`]: #features
[`timeout`]: #features
[`shield`]: #features
[`OnDeadlock`]: #features
[`no_park`]: #features
[`task::is_cancelled`]: #features
[`task::CancelToken`]: #features
[`task::TaskGroup`]: #features
"
)]
#![cfg_attr(not(feature = "process"), doc = "\n[`ipc`]: #features")]
#![deny(unsafe_code)]

pub(crate) mod base;
pub mod coroutine;
pub mod stack;
pub(crate) mod sys;

#[cfg(feature = "runtime")]
mod blocking;
#[cfg(feature = "runtime")]
pub mod channel;
#[cfg(feature = "runtime")]
pub(crate) mod driver;
#[cfg(feature = "runtime")]
pub mod fs;
#[cfg(feature = "runtime")]
pub mod future;
#[cfg(feature = "runtime")]
pub mod io;
#[cfg(feature = "process")]
pub mod ipc;
#[cfg(feature = "runtime")]
pub mod logging;
#[cfg(feature = "runtime")]
mod macros;
#[cfg(feature = "runtime")]
pub mod net;
#[cfg(feature = "runtime")]
pub mod pool;
#[cfg(feature = "runtime")]
pub mod process;
#[cfg(feature = "runtime")]
pub mod queue;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "runtime")]
pub(crate) mod scheduler;
#[cfg(feature = "runtime")]
pub mod signal;
#[cfg(feature = "runtime")]
pub mod sync;
#[cfg(feature = "runtime")]
pub mod task;
#[cfg(feature = "runtime")]
pub mod thread;
#[cfg(feature = "runtime")]
pub mod thread_pool;
#[cfg(feature = "runtime")]
pub mod time;

#[cfg(feature = "runtime")]
pub use blocking::unblock;
#[cfg(feature = "runtime")]
pub use runtime::{Handle, OnDeadlock, OnStuck, RunError, Runtime, run, try_run};
#[cfg(feature = "runtime")]
pub use task::{
    Builder, JoinError, JoinHandle, Scope, ScopedJoinHandle, Task, TaskId, checkpoint, current,
    no_park, park, park_timeout, scope, select, shield, spawn, spawn_after, spawn_local, yield_now,
};
#[cfg(feature = "runtime")]
pub use time::{deadline, sleep, sleep_until, timeout};

#[cfg(all(doctest, feature = "runtime"))]
mod compile_fail;

/// The examples of README.md, run as tests.
#[cfg(all(doctest, feature = "runtime"))]
#[doc = include_str!("../README.md")]
mod readme {}

/// The examples of docs/guide.md, run as tests.
#[cfg(all(doctest, feature = "process"))]
#[doc = include_str!("../docs/guide.md")]
mod guide {}

/// The examples of docs/port_std_program.md, run as tests.
#[cfg(all(doctest, feature = "runtime"))]
#[doc = include_str!("../docs/port_std_program.md")]
mod port_std_program {}
