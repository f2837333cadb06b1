//! A connection in two halves, so that the types say who reads and who writes.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::{error, fmt};

use super::stream::TcpStream;

/// The reading half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing half of a borrowed stream: see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The reading half of a stream, for a task of its own: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The writing half of a stream, for a task of its own: see [`TcpStream::into_split`].
///
/// Dropping it ends the writing direction: the other side reads the end of the stream.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    /// `None` only while it is taken apart.
    stream: Option<Arc<TcpStream>>,
}

impl TcpStream {
    /// A reading and a writing half that borrow the stream, for the tasks of a [`scope`](crate::scope).
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// A reading and a writing half, each for a task of its own. The connection is closed when both are
    /// gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Read, Write};
    /// use greenloom::net::{TcpListener, TcpStream};
    ///
    /// # greenloom::run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let near = TcpStream::connect(listener.local_addr()?)?;
    /// let (far, _) = listener.accept()?;
    /// greenloom::spawn(move || io::copy(&mut &far, &mut &far));
    ///
    /// let (mut reader, mut writer) = near.into_split();
    /// let sender = greenloom::spawn(move || writer.write_all(&[7; 1 << 20])); // ends with its half
    /// let mut all = Vec::new();
    /// reader.read_to_end(&mut all)?;
    /// sender.join().unwrap()?;
    /// assert_eq!(all.len(), 1 << 20);
    /// # io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        let writer = OwnedWriteHalf {
            stream: Some(stream.clone()),
        };
        (OwnedReadHalf(stream), writer)
    }
}

/// The halves were of different streams; both come back.
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Debug for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two halves that do not belong to the same stream")
    }
}

impl error::Error for ReuniteError {}

impl OwnedReadHalf {
    /// Makes one stream of its two halves.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] when they do not belong together.
    pub fn reunite(self, mut writer: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
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
    fn stream(&self) -> &Arc<TcpStream> {
        self.stream.as_ref().expect("it is there until the end")
    }

    /// Drops this half without ending the writing direction.
    pub fn forget(mut self) {
        drop(self.stream.take());
    }

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
impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

/// The stream, for its options and addresses.
impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        self.stream()
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The connection may be over already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Read for ReadHalf<'_> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(buffers)
    }
}

impl Read for OwnedReadHalf {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.0).read_vectored(buffers)
    }
}

impl Write for WriteHalf<'_> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for OwnedWriteHalf {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&**self.stream()).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&**self.stream()).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
