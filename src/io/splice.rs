//! Moving bytes from one socket to another inside the kernel, without copying them here and back.
//!
//! A basin (a pipe of the kernel's) stands between the two. It is filled only when it is empty, and emptied before it
//! is filled again; so a "would block" is always a socket's, and a direction that waits for something to read holds
//! nothing: neither a byte nor a pipe. Empty basins are kept by the thread for the next who has something to move,
//! so that ten thousand quiet connections need no pipe at all.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::driver::registration::Direction;
use crate::sys::pipe::{Basin, is_silent};
use crate::sys::socket::peek;

use super::evented::aim;
use super::watch::{Aim, Limit, Watch, closed_by_another};

/// A socket whose bytes may be moved without passing through its `Read` and `Write`: what is behind
/// [`Duplex::channel`](super::Duplex). Its fields are nobody's business outside.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    watch: &'a Watch,
    fd: BorrowedFd<'a>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// How a spliced copy came to its end.
#[derive(Debug)]
pub(super) enum Spliced {
    /// The source has ended, and all of it has arrived.
    Ended,
    /// All has arrived, and what came last was little: a copy by a buffer is cheaper for such.
    Quiet,
    /// These sockets are not to be spliced. These bytes, read from the source, have not arrived.
    Refused(Vec<u8>),
}

/// Empty basins that a thread keeps.
const KEPT: usize = 4;

thread_local! {
    static BASINS: RefCell<Vec<Basin>> = const { RefCell::new(Vec::new()) };
}

fn take_basin() -> Option<Basin> {
    let kept = BASINS.try_with(|basins| basins.borrow_mut().pop());
    kept.ok().flatten().or_else(Basin::new)
}

/// One with something in it is closed: its bytes belong to a copy that is over.
fn put_back(basin: Basin) {
    // In the last moments of a thread it is closed as well.
    let _ = BASINS.try_with(|basins| {
        let mut basins = basins.borrow_mut();
        if basin.rest() == 0 && basins.len() < KEPT {
            basins.push(basin);
        }
    });
}

impl<'a> Channel<'a> {
    pub(crate) fn new(
        watch: &'a Watch,
        fd: BorrowedFd<'a>,
        [read_timeout, write_timeout]: [Option<Duration>; 2],
    ) -> Channel<'a> {
        Channel {
            watch,
            fd,
            read_timeout,
            write_timeout,
        }
    }

    fn reads(&self) -> Aim {
        let limit = Limit::of(self.read_timeout);
        aim(Direction::Read, "io.splice_from", limit)
    }

    fn writes(&self) -> Aim {
        let limit = Limit::of(self.write_timeout);
        aim(Direction::Write, "io.splice_to", limit)
    }
}

/// Moves what comes from one channel to another, as long as it comes in pieces of `little` or more; adds to `moved`
/// what has arrived. Both channels are asked for before each move, for they know the time limits of that moment.
pub(super) fn splice<'a>(
    from: impl Fn() -> Option<Channel<'a>>,
    to: impl Fn() -> Option<Channel<'a>>,
    little: usize,
    moved: &mut u64,
) -> io::Result<Spliced> {
    if !is_silent() {
        return Ok(Spliced::Refused(Vec::new()));
    }
    loop {
        let (Some(source), Some(sink)) = (from(), to()) else {
            return Ok(Spliced::Refused(Vec::new()));
        };
        let mut basin = match fill(&source) {
            Ok(Some(basin)) => basin,
            Ok(None) => return Ok(Spliced::Ended),
            Err(error) if is_refusal(&error) => return Ok(Spliced::Refused(Vec::new())),
            Err(error) => return Err(error),
        };
        let came = basin.rest();
        while basin.rest() > 0 {
            let pour = || basin.empty(sink.fd);
            match sink.watch.operate(sink.fd, sink.writes(), pour, |_| false) {
                // As a write of zero bytes.
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *moved += count as u64,
                Err(error) if is_refusal(&error) => {
                    return Ok(Spliced::Refused(basin.pour_out()?));
                }
                Err(error) => return Err(error),
            }
        }
        put_back(basin);
        if came < little {
            return Ok(Spliced::Quiet);
        }
    }
}

/// Waits for something to come, and takes it. `None` at the end of the stream.
fn fill(source: &Channel<'_>) -> io::Result<Option<Basin>> {
    let mut filled = None;
    let take = || {
        let mut basin = take_basin().ok_or(io::ErrorKind::Unsupported)?;
        match basin.fill(source.fd) {
            Ok(count) if count > 0 => filled = Some(basin),
            other => {
                put_back(basin);
                // Where TCP has urgent data splice goes no further: it would block, or is at the end of a stream that
                // was shut, whatever is behind them. A read passes over them.
                let is_stuck = match &other {
                    Ok(_) => true,
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                };
                if is_stuck && peek(source.fd, &mut [0]).is_ok_and(|count| count > 0) {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                other?;
            }
        }
        Ok(())
    };
    let reads = source.reads();
    source.watch.operate(source.fd, reads, take, |()| false)?;
    if filled.is_none() && source.watch.is_closed() {
        // The end is our own side's doing.
        return Err(closed_by_another());
    }
    Ok(filled)
}

/// Whether an error says that this is not the way, rather than that something has gone wrong: no such call for such
/// descriptors, a socket that would block, no descriptors left for a pipe.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}
