//! Copying bytes from one stream to another, one way and both ways.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use crate::scheduler::park;
use crate::task::{JoinError, scope};

/// Bytes that are moved at a time.
const PIECE: usize = 16 << 10;

/// A connection that one task reads while another writes, and of which one direction can end while the other goes on:
/// what [`copy_bidirectional`] works on.
///
/// The streams of [`net`](crate::net) are such; a stream that is wrapped, by TLS for instance, ends its writing in
/// its own way.
pub trait Duplex {
    /// Reads and writes by shared reference.
    fn both_ways(&self) -> impl Read + Write + '_;

    /// Tells the other side that nothing more will come.
    ///
    /// # Errors
    ///
    /// The system's.
    fn close_write(&self) -> io::Result<()>;
}

impl<T: Duplex + ?Sized> Duplex for &T {
    fn both_ways(&self) -> impl Read + Write + '_ {
        (**self).both_ways()
    }

    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

impl<T: Duplex + ?Sized> Duplex for Arc<T> {
    fn both_ways(&self) -> impl Read + Write + '_ {
        (**self).both_ways()
    }

    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

/// Copies everything from `reader` to `writer`, and says how many bytes that were: as [`std::io::copy`], and yields
/// to other tasks now and then, also where neither side ever waits.
///
/// # Errors
///
/// The first of either side; `ErrorKind::Interrupted` is tried again.
///
/// # Cancellation
///
/// Unwinds out of the wait. What was read and not yet written is lost.
///
/// # Parks
///
/// As reading and writing do.
///
/// # Examples
///
/// ```
/// let mut out = Vec::new();
/// let copied = greenloom::io::copy(&mut &b"some bytes"[..], &mut out)?;
/// assert_eq!((copied, &*out), (10, &b"some bytes"[..]));
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buffer = vec![0; PIECE];
    let mut copied = 0;
    loop {
        park::spend_budget();
        let got = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..got])?;
        copied += got as u64;
    }
}

/// Copies in both directions between two connections, until both have ended; says how many bytes went from `a` to
/// `b`, and how many back. What a proxy does.
///
/// When one direction ends, the writing side of the other connection is [closed](Duplex::close_write), and the
/// other direction goes on. Memory: 16 KiB and a task for each direction, however slow a side is.
///
/// # Errors
///
/// The first of either direction, which ends the other one as well.
///
/// # Panics
///
/// As reading and writing do; that ends the other direction too.
///
/// # Cancellation
///
/// Ends both directions. What was read and not yet written is lost.
///
/// # Parks
///
/// Until both directions have ended (`task.join`).
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::UnixStream;
///
/// # greenloom::run(|| {
/// let (mut client, outer) = UnixStream::pair()?;
/// let (inner, server) = UnixStream::pair()?;
/// let proxy = greenloom::spawn(move || greenloom::io::copy_bidirectional(&outer, &inner));
/// let echo = greenloom::spawn(move || greenloom::io::copy(&mut &server, &mut &server));
/// client.write_all(b"there and back")?;
/// client.shutdown(std::net::Shutdown::Write)?;
/// echo.join().unwrap()?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "there and back");
/// assert_eq!(proxy.join().unwrap()?, (14, 14));
/// # io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: Duplex + Sync,
    B: Duplex + Sync,
{
    let (there, back) = scope(|scope| {
        let there = scope.spawn(|| or_else(|| scope.cancel(), || one_way(a, b)));
        let back = scope.spawn(|| or_else(|| scope.cancel(), || one_way(b, a)));
        (there.join(), back.join())
    });
    match (there, back) {
        (Ok(there), Ok(back)) => Ok((there?, back?)),
        // Only an error or a panic cancels the other direction: it is the one to tell.
        (Ok(told), Err(fault)) | (Err(fault), Ok(told)) => {
            told?;
            Err(failed(fault))
        }
        (Err(fault), Err(other)) => Err(failed(if fault.is_panic() { fault } else { other })),
    }
}

/// Does `deed`, and `otherwise` as well if it fails or panics.
fn or_else<T>(otherwise: impl FnMut(), deed: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    struct Otherwise<F: FnMut()>(F, bool);
    impl<F: FnMut()> Drop for Otherwise<F> {
        fn drop(&mut self) {
            if self.1 {
                (self.0)();
            }
        }
    }
    let mut otherwise = Otherwise(otherwise, true);
    let result = deed();
    otherwise.1 = result.is_err();
    result
}

/// A direction that panicked, in the reading or writing of somebody else's stream.
fn failed(fault: JoinError) -> io::Error {
    match fault.into_panic() {
        Ok(payload) => park::rethrow(payload),
        Err(fault) => io::Error::other(fault.to_string()),
    }
}

#[track_caller]
fn one_way(from: &impl Duplex, to: &impl Duplex) -> io::Result<u64> {
    let copied = copy(&mut from.both_ways(), &mut to.both_ways())?;
    match to.close_write() {
        // The other side has gone for good: there is nobody left to tell.
        Err(error) if error.kind() != ErrorKind::NotConnected => Err(error),
        _ => Ok(copied),
    }
}
