//! Streams as futures-io's traits, for crates that are written for futures.
//!
//! A poll never waits. What is said here of `&TcpStream` holds for `TcpStream`, and for Unix streams.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::net::socket::{is_short, proves_nothing};
use crate::net::{TcpStream, UnixStream};
use crate::sys::socket::{recv, recv_vectored, send, send_vectored};

macro_rules! polled_face {
    ($face:ident, $drains:path, $example:literal) => {
        /// With the feature `futures-io`: reading by futures, of whichever executor.
        ///
        /// Polled on a task, as by [`block_on`](crate::future::block_on), a stream that is not watched yet is
        /// watched by that task's worker; polled on a thread that is no worker, by the default runtime, which starts
        /// with it. Time limits of the stream are those of tasks and threads, not of polls.
        ///
        /// Whoever was last told to wait is woken, as futures expect: of two that poll one direction the other one is
        /// not, and the answer that one of them gets takes nothing from the other. A future that is dropped leaves its waker behind until the stream's next
        /// event, read or end; that keeps nothing else waiting: a task that then reads takes the place. One that does
        /// so while the future still lives has the same right, and the future gets `ErrorKind::ResourceBusy`.
        ///
        /// # Examples
        ///
        #[doc = $example]
        impl AsyncRead for &$face {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let room = buffer.len();
                let is_drained = |&got: &usize| $drains(got, room);
                self.socket
                    .poll_read(context.waker(), |fd| recv(fd, buffer), is_drained)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let room = buffers.iter().map(|buffer| buffer.len()).sum();
                let is_drained = |&got: &usize| $drains(got, room);
                let call = |fd: std::os::fd::BorrowedFd<'_>| recv_vectored(fd, buffers);
                self.socket.poll_read(context.waker(), call, is_drained)
            }
        }

        /// With the feature `futures-io`: see the reading side. Closing ends the writing direction.
        impl AsyncWrite for &$face {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let is_full = |&sent: &usize| is_short(sent, bytes.len());
                self.socket
                    .poll_write(context.waker(), |fd| send(fd, bytes), is_full)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let asked = buffers.iter().map(|buffer| buffer.len()).sum();
                let is_full = |&sent: &usize| is_short(sent, asked);
                let call = |fd: std::os::fd::BorrowedFd<'_>| send_vectored(fd, buffers);
                self.socket.poll_write(context.waker(), call, is_full)
            }

            /// Does nothing: what is written is on its way.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.shutdown(Shutdown::Write) {
                    // The other side has gone for good: there is nobody left to tell.
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                        Poll::Ready(Err(error))
                    }
                    _ => Poll::Ready(Ok(())),
                }
            }
        }

        /// As by reference.
        impl AsyncRead for $face {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(context, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read_vectored(context, buffers)
            }
        }

        /// As by reference.
        impl AsyncWrite for $face {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(context, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write_vectored(context, buffers)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_flush(context)
            }

            fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(context)
            }
        }
    };
}

polled_face!(
    TcpStream,
    is_short,
    "```
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use futures_io::AsyncRead;
use greenloom::future::block_on;
use greenloom::net::{TcpListener, TcpStream};

# greenloom::run(|| {
let listener = TcpListener::bind(\"127.0.0.1:0\")?;
let near = TcpStream::connect(listener.local_addr()?)?;
let (mut far, _) = listener.accept()?;
let task = greenloom::spawn(move || far.write_all(b\"hello\"));
let mut word = [0; 5];
let got = block_on(poll_fn(|context| Pin::new(&mut &near).poll_read(context, &mut word)))?;
assert_eq!(&word[..got], b\"hello\");
# task.join().unwrap() }).unwrap();
```"
);
polled_face!(
    UnixStream,
    proves_nothing,
    "See [`TcpStream`], of which this is the same."
);
