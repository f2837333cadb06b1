//! A connection in two halves, so that the types say who reads and who writes.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::{error, fmt};

use super::stream::TcpStream;
use super::streaming::Stream;

/// The reading half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a, S: Stream = TcpStream>(&'a S);

/// The writing half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a, S: Stream = TcpStream>(&'a S);

/// The reading half of a stream, for a task of its own: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf<S: Stream = TcpStream>(Arc<S>);

/// The writing half of a stream, for a task of its own: see [`TcpStream::into_split`].
///
/// Dropping it ends the writing direction: the other side reads the end of the stream.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Stream = TcpStream> {
    /// `None` only while it is taken apart.
    stream: Option<Arc<S>>,
}

/// Both halves of a borrowed stream.
pub(super) fn borrowed<S: Stream>(stream: &S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf(stream), WriteHalf(stream))
}

/// Both halves of a stream, which they share.
pub(super) fn owned<S: Stream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let writer = OwnedWriteHalf {
        stream: Some(stream.clone()),
    };
    (OwnedReadHalf(stream), writer)
}

/// The halves were of different streams; both come back.
pub struct ReuniteError<S: Stream = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Stream> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: Stream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two halves that do not belong to the same stream")
    }
}

impl<S: Stream> error::Error for ReuniteError<S> {}

impl<S: Stream> OwnedReadHalf<S> {
    /// Makes one stream of its two halves.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] when they do not belong together.
    pub fn reunite(self, mut writer: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, writer.stream()) {
            return Err(ReuniteError(self, writer));
        }
        drop(writer.stream.take());
        let stream = Arc::into_inner(self.0);
        Ok(stream.expect("a stream has no more than two halves"))
    }

    /// Looks at the bytes that come next: see [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// As for a read.
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer)
    }
}

impl<S: Stream> OwnedWriteHalf<S> {
    fn stream(&self) -> &Arc<S> {
        self.stream.as_ref().expect("it is there until the end")
    }

    /// Drops this half without ending the writing direction.
    pub fn forget(mut self) {
        drop(self.stream.take());
    }
}

impl OwnedReadHalf {
    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl OwnedWriteHalf {
    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }
}

/// The stream, for its options and addresses.
impl<S: Stream> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

/// The stream, for its options and addresses.
impl<S: Stream> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.stream()
    }
}

impl<S: Stream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The connection may be over already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl<S: Stream> Read for ReadHalf<'_, S> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.both_ways().read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.both_ways().read_vectored(buffers)
    }
}

impl<S: Stream> Read for OwnedReadHalf<S> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.both_ways().read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.both_ways().read_vectored(buffers)
    }
}

impl<S: Stream> Write for WriteHalf<'_, S> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.both_ways().write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.both_ways().write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Stream> Write for OwnedWriteHalf<S> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().both_ways().write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream().both_ways().write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
