//! The parts that the faces of all sockets share, written once: a face has a field `socket` and a
//! function `from_socket`.

/// For every socket: closing, copies, conversions from and to std's type and descriptors.
///
/// `$ends` says what a close does besides waking who waits: see `Socket::close` and `Socket::stop`.
macro_rules! socket_face {
    ($face:ident, $std:ty, $ends:ident, $closing:literal) => {
        impl $face {
            #[doc = $closing]
            ///
            /// Whoever waits on this handle, on any thread, is woken, and they and all later operations get
            /// `ErrorKind::NotConnected`. The descriptor itself is closed when this is dropped.
            pub fn close(&self) {
                self.socket.$ends();
            }

            /// Whether [`close`](Self::close) was called.
            pub fn is_closed(&self) -> bool {
                self.socket.is_closed()
            }

            /// A second, independent handle of the same socket, with the time limits that this one has now.
            ///
            /// # Errors
            ///
            /// When there is no descriptor left.
            pub fn try_clone(&self) -> ::std::io::Result<$face> {
                self.socket.twin().map($face::from_socket)
            }

            /// Whether calls on this handle give `ErrorKind::WouldBlock` instead of waiting, as std's do. What is
            /// nothing but a wait, such as `wait_readable`, waits all the same. Clones are not concerned.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> ::std::io::Result<()> {
                self.socket.set_nonblocking(nonblocking);
                Ok(())
            }

            /// Takes the error that is pending at the socket, if any.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn take_error(&self) -> ::std::io::Result<Option<::std::io::Error>> {
                self.socket.options().take_error()
            }
        }

        impl TryFrom<$std> for $face {
            type Error = ::std::io::Error;

            /// Sets it nonblocking, which its clones share; takes over its time limits.
            fn try_from(socket: $std) -> ::std::io::Result<$face> {
                $crate::net::socket::Socket::adopt(socket).map($face::from_socket)
            }
        }

        impl From<$face> for $std {
            /// A blocking one again, with the same time limits.
            fn from(face: $face) -> $std {
                face.socket.surrender()
            }
        }

        impl From<::std::os::fd::OwnedFd> for $face {
            /// As std does, takes any descriptor: one that is no such socket fails when it is used.
            fn from(fd: ::std::os::fd::OwnedFd) -> $face {
                $face::from_socket($crate::net::socket::Socket::from_descriptor(fd))
            }
        }

        impl From<$face> for ::std::os::fd::OwnedFd {
            fn from(face: $face) -> ::std::os::fd::OwnedFd {
                face.socket.surrender().into()
            }
        }

        impl ::std::os::fd::IntoRawFd for $face {
            fn into_raw_fd(self) -> ::std::os::fd::RawFd {
                ::std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        impl ::std::os::fd::AsFd for $face {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                ::std::os::fd::AsFd::as_fd(&self.socket)
            }
        }

        impl ::std::os::fd::AsRawFd for $face {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                ::std::os::fd::AsFd::as_fd(&self.socket).as_raw_fd()
            }
        }
    };
}

/// For what moves bytes: limits of time, sizes of buffers, waiting without an operation.
macro_rules! moving_face {
    ($face:ident) => {
        impl $face {
            /// Bounds each later read: one that takes longer is `ErrorKind::TimedOut`. `None` is no bound.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for zero.
            pub fn set_read_timeout(
                &self,
                timeout: Option<::std::time::Duration>,
            ) -> ::std::io::Result<()> {
                self.socket.read_timeout.set(timeout)
            }

            /// Bounds each later write: one that takes longer is `ErrorKind::TimedOut`. `None` is no bound.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for zero.
            pub fn set_write_timeout(
                &self,
                timeout: Option<::std::time::Duration>,
            ) -> ::std::io::Result<()> {
                self.socket.write_timeout.set(timeout)
            }

            /// The bound of a read.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn read_timeout(&self) -> ::std::io::Result<Option<::std::time::Duration>> {
                Ok(self.socket.read_timeout.get())
            }

            /// The bound of a write.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn write_timeout(&self) -> ::std::io::Result<Option<::std::time::Duration>> {
                Ok(self.socket.write_timeout.get())
            }

            /// Asks the system for so much room for what has come and was not read yet.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn set_recv_buffer_size(&self, bytes: usize) -> ::std::io::Result<()> {
                let bytes = bytes.min(i32::MAX as usize);
                self.socket.options().set_recv_buffer_size(bytes)
            }

            /// The room for what has come and was not read yet; Linux doubles what it is asked for.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn recv_buffer_size(&self) -> ::std::io::Result<usize> {
                self.socket.options().recv_buffer_size()
            }

            /// Asks the system for so much room for what was written and is not sent yet.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn set_send_buffer_size(&self, bytes: usize) -> ::std::io::Result<()> {
                let bytes = bytes.min(i32::MAX as usize);
                self.socket.options().set_send_buffer_size(bytes)
            }

            /// The room for what was written and is not sent yet; Linux doubles what it is asked for.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn send_buffer_size(&self) -> ::std::io::Result<usize> {
                self.socket.options().send_buffer_size()
            }

            /// Waits until there is something to read, an end or an error, and takes none of it; at most for
            /// the [`read_timeout`](Self::read_timeout).
            ///
            /// A server that waits so before it has a buffer needs memory only for connections that talk.
            ///
            /// # Errors
            ///
            /// `TimedOut`; `ResourceBusy` when another one waits to read; `NotConnected` after
            /// [`close`](Self::close).
            ///
            /// # Parks
            ///
            /// When there is nothing yet (`io.wait_readable`).
            #[track_caller]
            pub fn wait_readable(&self) -> ::std::io::Result<()> {
                let limit = self.socket.read_timeout.patience();
                self.socket
                    .wait($crate::driver::registration::Direction::Read, limit)
            }

            /// Waits until there is room to write, or an error; at most for the
            /// [`write_timeout`](Self::write_timeout).
            ///
            /// # Errors
            ///
            /// As for [`wait_readable`](Self::wait_readable).
            ///
            /// # Parks
            ///
            /// When there is no room (`io.wait_writable`).
            #[track_caller]
            pub fn wait_writable(&self) -> ::std::io::Result<()> {
                let limit = self.socket.write_timeout.patience();
                self.socket
                    .wait($crate::driver::registration::Direction::Write, limit)
            }
        }
    };
}

/// For streams: `Read` and `Write`, by `&` as well, peeking, half closing.
///
/// `$drains` says whether a read that got less than it had room for proves that there is no more.
macro_rules! stream_face {
    ($face:ident, $drains:path) => {
        impl $face {
            /// Looks at the bytes that come next, without taking them; waits as a read does.
            ///
            /// # Errors
            ///
            /// As for a read.
            ///
            /// # Parks
            ///
            /// When there is nothing yet (`net.peek`).
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                let look =
                    |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::peek(fd, buffer);
                let seen = self.socket.read("net.peek", look, |_| false)?;
                self.socket.check_end(seen)
            }

            /// Ends one or both directions: the other side reads the end, our own reads or writes end too.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn shutdown(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
                self.socket.options().shutdown(how)
            }

            /// A reading and a writing half that borrow the stream, for the tasks of a [`scope`](crate::scope).
            pub fn split(
                &mut self,
            ) -> (
                $crate::net::ReadHalf<'_, $face>,
                $crate::net::WriteHalf<'_, $face>,
            ) {
                $crate::net::split::borrowed(self)
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
            pub fn into_split(
                self,
            ) -> (
                $crate::net::OwnedReadHalf<$face>,
                $crate::net::OwnedWriteHalf<$face>,
            ) {
                $crate::net::split::owned(self)
            }
        }

        impl $crate::io::Duplex for $face {
            fn both_ways(&self) -> impl ::std::io::Read + ::std::io::Write + '_ {
                self
            }

            fn close_write(&self) -> ::std::io::Result<()> {
                self.shutdown(::std::net::Shutdown::Write)
            }

            fn channel(&self) -> Option<$crate::io::Channel<'_>> {
                self.socket.channel()
            }
        }

        impl $crate::net::Stream for $face {
            #[track_caller]
            fn peek(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                self.peek(buffer)
            }

            fn shutdown(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
                self.shutdown(how)
            }

            fn close(&self) {
                self.close();
            }

            fn is_closed(&self) -> bool {
                self.is_closed()
            }

            fn set_read_timeout(
                &self,
                timeout: Option<::std::time::Duration>,
            ) -> ::std::io::Result<()> {
                self.set_read_timeout(timeout)
            }

            fn set_write_timeout(
                &self,
                timeout: Option<::std::time::Duration>,
            ) -> ::std::io::Result<()> {
                self.set_write_timeout(timeout)
            }
        }

        impl ::std::io::Read for &$face {
            #[track_caller]
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                let room = buffer.len();
                let call =
                    |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::recv(fd, buffer);
                let is_drained = |&got: &usize| $drains(got, room);
                let got = self.socket.read("net.read", call, is_drained)?;
                self.socket.check_end(got)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                buffers: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::io::Result<usize> {
                let room = buffers.iter().map(|buffer| buffer.len()).sum();
                let call = |fd: ::std::os::fd::BorrowedFd<'_>| {
                    $crate::sys::socket::recv_vectored(fd, buffers)
                };
                let is_drained = |&got: &usize| $drains(got, room);
                let got = self.socket.read("net.read", call, is_drained)?;
                self.socket.check_end(got)
            }
        }

        impl ::std::io::Write for &$face {
            #[track_caller]
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> ::std::io::Result<usize> {
                let call = |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::send(fd, bytes);
                let is_full = |&sent: &usize| $crate::net::socket::is_short(sent, bytes.len());
                self.socket.write("net.write", call, is_full)
            }

            #[track_caller]
            fn write_vectored(
                &mut self,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                let asked = buffers.iter().map(|buffer| buffer.len()).sum();
                let call = |fd: ::std::os::fd::BorrowedFd<'_>| {
                    $crate::sys::socket::send_vectored(fd, buffers)
                };
                let is_full = |&sent: &usize| $crate::net::socket::is_short(sent, asked);
                self.socket.write("net.write", call, is_full)
            }

            /// Does nothing: what is written is on its way.
            #[inline]
            fn flush(&mut self) -> ::std::io::Result<()> {
                Ok(())
            }
        }

        impl ::std::io::Read for $face {
            #[track_caller]
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                (&*self).read(buffer)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                buffers: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::io::Result<usize> {
                (&*self).read_vectored(buffers)
            }
        }

        impl ::std::io::Write for $face {
            #[track_caller]
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> ::std::io::Result<usize> {
                (&*self).write(bytes)
            }

            #[track_caller]
            fn write_vectored(
                &mut self,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                (&*self).write_vectored(buffers)
            }

            #[inline]
            fn flush(&mut self) -> ::std::io::Result<()> {
                Ok(())
            }
        }
    };
}

/// For listeners: accepting, one by one in the order of coming.
macro_rules! listener_face {
    ($face:ident, $stream:ident, $address:ty, $accept:path) => {
        impl $face {
            /// Waits for a connection; says who it is from.
            ///
            /// Connections that were gone before they could be accepted are passed over.
            ///
            /// # Errors
            ///
            /// The system's. When the process or the system has no descriptor left (EMFILE, ENFILE) the
            /// connection stays in the queue, and calling again at once will fail again: close something, or
            /// [`sleep`](crate::sleep) a little, before that. `NotConnected` after [`close`](Self::close).
            ///
            /// # Cancellation
            ///
            /// Unwinds out of the wait; no connection is lost.
            ///
            /// # Parks
            ///
            /// When there is no connection, or others wait (`net.accept`).
            #[track_caller]
            pub fn accept(&self) -> ::std::io::Result<($stream, $address)> {
                self.accept_within(self.socket.read_timeout.limit())
            }

            /// As [`accept`](Self::accept), at most for `timeout`.
            ///
            /// # Errors
            ///
            /// As there, and `ErrorKind::TimedOut`.
            #[track_caller]
            pub fn accept_timeout(
                &self,
                timeout: ::std::time::Duration,
            ) -> ::std::io::Result<($stream, $address)> {
                self.accept_within($crate::io::Limit::Within(timeout))
            }

            #[track_caller]
            fn accept_within(
                &self,
                limit: $crate::io::Limit,
            ) -> ::std::io::Result<($stream, $address)> {
                let fd = ::std::os::fd::AsFd::as_fd(self);
                let (_turn, limit) = match limit {
                    // Whoever does not wait does not stand in line either.
                    $crate::io::Limit::Now => (None, limit),
                    limit => {
                        let (turn, limit) = self.line.enter("net.accept_line", fd, limit)?;
                        (Some(turn), limit)
                    }
                };
                let take = |fd: ::std::os::fd::BorrowedFd<'_>| {
                    $crate::net::listening::pass_over_the_lost(|| $accept(fd))
                };
                let (fd, peer) = self.socket.read_within("net.accept", limit, take)?;
                let socket = $crate::net::socket::Socket::from_nonblocking(fd.into());
                Ok(($stream::from_socket(socket), peer))
            }

            /// The connections, one after the other, as [`accept`](Self::accept) gives them. It ends when the
            /// listener is [closed](Self::close).
            pub fn incoming(&self) -> $crate::net::Incoming<'_, $face> {
                $crate::net::Incoming::new(self)
            }
        }

        impl $crate::net::Listener for $face {
            type Stream = $stream;
            type Address = $address;

            #[track_caller]
            fn accept(&self) -> ::std::io::Result<($stream, $address)> {
                self.accept()
            }

            #[track_caller]
            fn accept_timeout(
                &self,
                timeout: ::std::time::Duration,
            ) -> ::std::io::Result<($stream, $address)> {
                self.accept_timeout(timeout)
            }

            fn close(&self) {
                self.close();
            }

            fn is_closed(&self) -> bool {
                self.is_closed()
            }

            #[track_caller]
            fn wait_acceptable(&self) -> ::std::io::Result<()> {
                let read = $crate::driver::registration::Direction::Read;
                self.socket.wait(read, $crate::io::Limit::Never)
            }

            fn retire(&self) {
                self.socket.stop();
            }
        }
    };
}

/// For datagrams: each call moves a whole one.
macro_rules! datagram_face {
    ($face:ident, $address:ty, $recv_from:path) => {
        impl $face {
            /// Takes one datagram from the connected peer; what the buffer has no room for is lost.
            ///
            /// # Errors
            ///
            /// The system's, also those that an earlier send has brought about; `TimedOut`; `ResourceBusy` when
            /// another one waits to read; `NotConnected` after [`close`](Self::close).
            ///
            /// # Cancellation
            ///
            /// Unwinds out of the wait; no datagram is lost.
            ///
            /// # Parks
            ///
            /// When there is none (`net.recv`).
            #[track_caller]
            pub fn recv(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                let call =
                    |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::recv(fd, buffer);
                self.socket.read("net.recv", call, |_| false)
            }

            /// As [`recv`](Self::recv), and the datagram stays.
            ///
            /// # Errors
            ///
            /// As there.
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                let call =
                    |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::peek(fd, buffer);
                self.socket.read("net.recv_peek", call, |_| false)
            }

            /// Takes one datagram, from whomever; what the buffer has no room for is lost.
            ///
            /// # Errors
            ///
            /// As for [`recv`](Self::recv).
            ///
            /// # Parks
            ///
            /// When there is none (`net.recv_from`).
            #[track_caller]
            pub fn recv_from(&self, buffer: &mut [u8]) -> ::std::io::Result<(usize, $address)> {
                let how = $crate::sys::socket::Take::Whole;
                let call = |fd: ::std::os::fd::BorrowedFd<'_>| $recv_from(fd, buffer, how);
                self.socket.read("net.recv_from", call, |_| false)
            }

            /// As [`recv_from`](Self::recv_from), and the datagram stays.
            ///
            /// # Errors
            ///
            /// As there.
            #[track_caller]
            pub fn peek_from(&self, buffer: &mut [u8]) -> ::std::io::Result<(usize, $address)> {
                let how = $crate::sys::socket::Take::Peek;
                let call = |fd: ::std::os::fd::BorrowedFd<'_>| $recv_from(fd, buffer, how);
                self.socket.read("net.peek_from", call, |_| false)
            }

            /// Sends one datagram to the connected peer.
            ///
            /// # Errors
            ///
            /// The system's; `TimedOut`; `ResourceBusy` when another one waits to write; `NotConnected` after
            /// [`close`](Self::close).
            ///
            /// # Cancellation
            ///
            /// Unwinds out of the wait; nothing was sent.
            ///
            /// # Parks
            ///
            /// When there is no room (`net.send`).
            #[track_caller]
            pub fn send(&self, datagram: &[u8]) -> ::std::io::Result<usize> {
                let call =
                    |fd: ::std::os::fd::BorrowedFd<'_>| $crate::sys::socket::send(fd, datagram);
                self.socket.write("net.send", call, |_| false)
            }

            /// The address that it is bound to.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn local_addr(&self) -> ::std::io::Result<$address> {
                self.socket.get_ref().local_addr()
            }

            /// The address that it is connected to.
            ///
            /// # Errors
            ///
            /// `NotConnected` if it is not.
            pub fn peer_addr(&self) -> ::std::io::Result<$address> {
                self.socket.get_ref().peer_addr()
            }
        }
    };
}

pub(super) use {datagram_face, listener_face, moving_face, socket_face, stream_face};
