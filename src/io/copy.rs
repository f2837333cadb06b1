//! Copying bytes from one stream to another, one way and both ways.

use std::io::{self, ErrorKind, Read, Write};
use std::panic::Location;
use std::sync::Arc;

use crate::base::finally::Finally;
use crate::scheduler::park;
use crate::task::{JoinError, scope};

use super::splice::{Channel, Spliced, splice};

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

    /// The socket itself, where the bytes that [`both_ways`](Self::both_ways) gives are the socket's own: then the
    /// kernel may move them. A wrapper has none.
    #[doc(hidden)]
    fn channel(&self) -> Option<Channel<'_>> {
        None
    }
}

impl<T: Duplex + ?Sized> Duplex for &T {
    fn both_ways(&self) -> impl Read + Write + '_ {
        (**self).both_ways()
    }

    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }

    fn channel(&self) -> Option<Channel<'_>> {
        (**self).channel()
    }
}

impl<T: Duplex + ?Sized> Duplex for Arc<T> {
    fn both_ways(&self) -> impl Read + Write + '_ {
        (**self).both_ways()
    }

    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }

    fn channel(&self) -> Option<Channel<'_>> {
        (**self).channel()
    }
}

/// Copies everything from `reader` to `writer`, and says how many bytes that were: as [`std::io::copy`], and yields
/// to other tasks now and then, also where neither side ever waits.
///
/// It knows nothing of its streams but how to read and to write, and copies by a buffer of 16 KiB. Between two
/// sockets [`copy_one_way`] is the faster one.
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
    // Std's loops between here and the stream, and the streams of others, do not know the caller's line.
    park::at(Location::caller(), || {
        loop {
            park::spend_budget();
            match copy_piece(reader, writer, &mut buffer)? {
                0 => return Ok(copied),
                got => copied += got as u64,
            }
        }
    })
}

/// Copies what one read gives; zero is the end.
fn copy_piece<R, W>(reader: &mut R, writer: &mut W, buffer: &mut [u8]) -> io::Result<usize>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    loop {
        match reader.read(buffer) {
            Ok(got) => return writer.write_all(&buffer[..got]).map(|()| got),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies in both directions between two connections, until both have ended; says how many bytes went from `a` to
/// `b`, and how many back. What a proxy does.
///
/// When one direction ends, the writing side of the other connection is [closed](Duplex::close_write), and the
/// other direction goes on. Memory: 16 KiB and a task for each direction, however slow a side is. Each direction is a
/// [`copy_one_way`].
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
/// Ends both directions. What was read and not yet written, where the other side had no room, is lost.
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
    let place = Location::caller();
    let (there, back) = scope(|scope| {
        let there = || or_else(|| scope.cancel(), || park::at(place, || one_way(a, b)));
        let back = || or_else(|| scope.cancel(), || park::at(place, || one_way(b, a)));
        let (there, back) = (scope.spawn_at(place, there), scope.spawn_at(place, back));
        park::at(place, || (there.join(), back.join()))
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
fn or_else<T>(otherwise: impl FnOnce(), deed: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let otherwise = Finally::new(otherwise);
    let result = deed();
    if result.is_ok() {
        otherwise.cancel();
    }
    result
}

/// A direction that panicked, in the reading or writing of somebody else's stream.
fn failed(fault: JoinError) -> io::Error {
    match fault.into_panic() {
        Ok(payload) => park::rethrow(payload),
        Err(fault) => io::Error::other(fault.to_string()),
    }
}

/// Copies everything from one connection to another, [closes](Duplex::close_write) the writing side of that, and says
/// how many bytes that were: one direction of [`copy_bidirectional`].
///
/// Where both are sockets of [`net`](crate::net) and the system has splice(2), as Linux, the kernel moves by itself
/// what comes in large pieces. It needs a pipe for that, two descriptors, while something is under way. A program that
/// has given SIGPIPE a meaning gets all of its bytes copied by a buffer, for there no splice is silent.
///
/// # Errors
///
/// The first of either side. What was read and not yet written, where the other side had no room, is lost with it.
///
/// # Cancellation
///
/// Unwinds out of the wait. What was read and not yet written, where the other side had no room, is lost.
///
/// # Parks
///
/// Until there is something to read (`io.splice_from`), and until there is room to write (`io.splice_to`); or as
/// reading and writing do.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::UnixStream;
///
/// # greenloom::run(|| {
/// let (mut client, outer) = UnixStream::pair()?;
/// let (inner, mut server) = UnixStream::pair()?;
/// client.write_all(b"one way")?;
/// client.shutdown(std::net::Shutdown::Write)?;
/// assert_eq!(greenloom::io::copy_one_way(&outer, &inner)?, 7);
/// let mut text = String::new();
/// server.read_to_string(&mut text)?;
/// assert_eq!(text, "one way");
/// # io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn copy_one_way<A, B>(from: &A, to: &B) -> io::Result<u64>
where
    A: Duplex + ?Sized,
    B: Duplex + ?Sized,
{
    park::at(Location::caller(), || one_way(from, to))
}

fn one_way<A, B>(from: &A, to: &B) -> io::Result<u64>
where
    A: Duplex + ?Sized,
    B: Duplex + ?Sized,
{
    let mut copied = 0;
    let mut buffer = vec![0; PIECE];
    let mut may_splice = true;
    loop {
        park::spend_budget();
        let got = copy_piece(&mut from.both_ways(), &mut to.both_ways(), &mut buffer)?;
        copied += got as u64;
        if got == 0 {
            break;
        }
        // There is more than fits: the rest need not come by here.
        if may_splice && got == PIECE {
            match splice(|| from.channel(), || to.channel(), PIECE / 2, &mut copied)? {
                Spliced::Ended => break,
                Spliced::Quiet => {}
                Spliced::Refused(rest) => {
                    may_splice = false;
                    to.both_ways().write_all(&rest)?;
                    copied += rest.len() as u64;
                }
            }
        }
    }
    match to.close_write() {
        // The other side has gone for good: there is nobody left to tell.
        Err(error) if error.kind() != ErrorKind::NotConnected => Err(error),
        _ => Ok(copied),
    }
}
