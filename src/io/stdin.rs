//! Lines of the standard input, for which only the task waits.
//!
//! A thread of the process's own reads, one line for each reader that waits, and none ahead. It belongs to no
//! runtime: a read of a terminal cannot be taken back, and a runtime that stops would wait for it until somebody
//! presses a key. The descriptor is left as it is; nonblocking it would be so for the shell as well.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::runtime::Outside;
use crate::sync::Semaphore;

/// Between the readers and the thread.
static DESK: Desk = Desk {
    state: Mutex::new(State {
        lines: VecDeque::new(),
        wanted: 0,
        has_thread: false,
    }),
    wants: Condvar::new(),
    ready: Semaphore::new(0),
};

struct Desk {
    state: Mutex<State>,
    /// Told to the thread when `wanted` grows.
    wants: Condvar,
    /// A permit for each of `lines`; its line of waiters is the readers'.
    ready: Semaphore,
}

struct State {
    /// Read, and not taken yet: also those whose reader has gone.
    lines: VecDeque<io::Result<String>>,
    /// Readers that wait.
    wanted: usize,
    has_thread: bool,
}

/// The standard input, by lines: as [`std::io::Stdin`], but only the task waits.
///
/// Made by [`stdin`].
#[derive(Clone, Copy, Debug)]
pub struct Stdin(());

/// The standard input of the process, for tasks and plain threads.
///
/// All handles are the same input. Readers are served in the order of their coming, a line each. Whoever also reads
/// by [`std::io::stdin`] gets lines of its own.
///
/// # Examples
///
/// ```no_run
/// # greenloom::run(|| {
/// for line in greenloom::io::stdin().lines() {
///     println!("{}", line?.to_uppercase());
/// }
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

impl Stdin {
    /// Waits for a line and appends it, with its end. Zero is the end of the input.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidData` for what is no UTF-8.
    ///
    /// # Cancellation
    ///
    /// Unwinds out of the wait. The line that comes then is kept for the next reader.
    ///
    /// # Parks
    ///
    /// Unless a line is there (`sync.semaphore`).
    #[track_caller]
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        let wanting = Wanting::begin()?;
        // The line comes from outside of the runtime: nobody is at a standstill meanwhile.
        let outside = Outside::here();
        DESK.ready.acquire().forget();
        drop(outside);
        let next = wanting.take()?;
        line.push_str(&next);
        Ok(next.len())
    }

    /// The lines without their ends, until the input ends.
    pub fn lines(self) -> Lines {
        Lines(self)
    }
}

/// The lines of the standard input: see [`Stdin::lines`].
#[derive(Debug)]
pub struct Lines(Stdin);

impl Iterator for Lines {
    type Item = io::Result<String>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                let kept = line.strip_suffix('\n').unwrap_or(&line);
                let kept = kept.strip_suffix('\r').unwrap_or(kept).len();
                line.truncate(kept);
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A reader that waits.
struct Wanting(());

impl Wanting {
    fn begin() -> io::Result<Wanting> {
        let mut state = lock();
        if !state.has_thread {
            let thread = std::thread::Builder::new().name("greenloom stdin".into());
            drop(thread.spawn(read_what_is_wanted)?);
            state.has_thread = true;
        }
        state.wanted += 1;
        DESK.wants.notify_one();
        Ok(Wanting(()))
    }

    /// With a permit in hand.
    fn take(self) -> io::Result<String> {
        let next = lock().lines.pop_front();
        next.expect("there is a line for each permit")
    }
}

impl Drop for Wanting {
    fn drop(&mut self) {
        lock().wanted -= 1;
    }
}

fn lock() -> MutexGuard<'static, State> {
    // Nothing that can panic runs under it.
    DESK.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
fn read_what_is_wanted() {
    loop {
        let mut state = lock();
        while state.wanted <= state.lines.len() {
            state = DESK
                .wants
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        lock().lines.push_back(read.map(|_| line));
        DESK.ready.release(1);
    }
}
