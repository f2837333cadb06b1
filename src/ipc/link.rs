//! Frames over a Unix stream socket: whole ones, with descriptors, in both directions at once.
//!
//! ```text
//!   0        4      5      6             8           16
//!   | length | kind | zero | descriptors | number    | length bytes ...
//! ```
//!
//! Little-endian. `kind` and `number` are the business of whoever uses the link. Descriptors travel with the
//! first byte of their frame; the kernel lets no read run past the bytes that they came with, so they are
//! taken in the order of the frames.
//!
//! Both halves can be stopped anywhere, by a deadline or a cancellation, and go on from there: an [`Outgoing`]
//! knows how much of it has left, an [`Incoming`] keeps what has come. What is to be done with half a frame that
//! nobody wants to send to its end is for the user of the link to decide; the other side has to be sent the rest.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::driver::registration::Direction;
use crate::io::{Evented, Limit, aim};
use crate::scheduler::park;
use crate::sys::socket;

use super::parcel::{LONGEST, MOST_DESCRIPTORS, Parcel};

/// Length of a frame's head.
const HEAD: usize = 16;

/// Small frames are read as many at a time as fit into this.
const READ_AHEAD: usize = 4096;

/// A body is given room in steps, so that a length alone costs its reader nothing.
const STEP: usize = 1 << 20;

/// Those of a frame of which half has come, and of the next one.
const MOST_UNCLAIMED: usize = 2 * MOST_DESCRIPTORS;

const UNCLAIMED: &str = "descriptors that belong to no frame";

/// What stands before the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: u32,
    kind: u8,
    descriptors: u16,
    number: u64,
}

impl Head {
    fn write(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&self.length.to_le_bytes());
        head[4] = self.kind;
        head[6..8].copy_from_slice(&self.descriptors.to_le_bytes());
        head[8..].copy_from_slice(&self.number.to_le_bytes());
        head
    }

    fn read(head: &[u8; HEAD]) -> Head {
        let [a, b, c, d, kind, _, e, f, number @ ..] = *head;
        Head {
            length: u32::from_le_bytes([a, b, c, d]),
            kind,
            descriptors: u16::from_le_bytes([e, f]),
            number: u64::from_le_bytes(number),
        }
    }
}

/// A frame that has come.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) number: u64,
    pub(crate) parcel: Parcel,
}

/// One end of a connection. Sending and receiving are independent; one at a time of each.
#[derive(Debug)]
pub(crate) struct Wire {
    /// In blocking mode: what must not block says so at each call.
    io: Evented<OwnedFd>,
}

impl Wire {
    /// Takes over a connected Unix stream socket.
    pub(crate) fn new(socket: OwnedFd) -> Wire {
        Wire {
            io: Evented::reading_first(socket),
        }
    }

    /// Two ends of one connection; both are closed when a program is executed.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub(crate) fn pair() -> io::Result<(Wire, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        socket::silence(ours.as_fd())?;
        socket::silence(theirs.as_fd())?;
        Ok((Wire::new(ours.into()), theirs.into()))
    }

    /// Ends the connection for both sides and wakes whoever waits for it; the descriptor stays open.
    pub(crate) fn hang_up(&self) {
        let _ = rustix::net::shutdown(self.io.as_fd(), rustix::net::Shutdown::Both);
    }

    /// Whether the other side has closed its end, which shows before what it had sent is received.
    pub(crate) fn is_hung_up(&self) -> bool {
        socket::is_hung_up(self.io.as_fd())
    }

    /// To be called by a new holder, if it may run elsewhere than the one before.
    pub(crate) fn settle_here(&mut self) {
        self.io.settle_here();
    }

    /// Waits until something can be received: a frame's beginning, or the end.
    ///
    /// # Errors
    /// `TimedOut`.
    #[track_caller]
    pub(crate) fn wait_readable(&self, limit: Limit) -> io::Result<()> {
        let look = |source: &OwnedFd| socket::peek(source.as_fd(), &mut [0]);
        let aim = aim(Direction::Read, "ipc.poll", limit);
        self.io.operate(aim, look, |_| false).map(drop)
    }

    /// A plain thread that waits without limit does so in the call itself, for one system call instead of three.
    fn may_block(limit: Limit) -> bool {
        matches!(limit, Limit::Never) && park::current_id() == 0
    }

    #[track_caller]
    fn recv(
        &self,
        buffer: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
        limit: Limit,
    ) -> io::Result<usize> {
        match limit {
            Limit::Never if Wire::may_block(limit) => {
                return socket::recv_passed(self.io.as_fd(), buffer, descriptors, true);
            }
            // Not by the reactor, whose business is to wait.
            Limit::Now => {
                return socket::recv_passed(self.io.as_fd(), buffer, descriptors, false);
            }
            _ => {}
        }
        let aim = aim(Direction::Read, "ipc.recv", limit);
        let room = buffer.len();
        let call = |fd: &OwnedFd| {
            let before = descriptors.len();
            let count = socket::recv_passed(fd.as_fd(), buffer, descriptors, false)?;
            Ok((count, descriptors.len() > before))
        };
        let drained = |&(count, has_passed): &(usize, bool)| was_all(count, room, has_passed);
        self.io.operate(aim, call, drained).map(|(count, _)| count)
    }

    /// Has `read` receive what has come, without waiting, and waits in between as long as it says `WouldBlock`. It
    /// returns whether that was all.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn listen(&self, mut read: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
        let aim = aim(Direction::Read, "ipc.recv", Limit::Never);
        let listened = self.io.operate(aim, |_| read(), |was_all| *was_all);
        listened.map(drop)
    }

    fn try_send(&self, parts: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        socket::send_passing(self.io.as_fd(), parts, descriptors, false)
    }

    #[track_caller]
    fn send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        limit: Limit,
    ) -> io::Result<usize> {
        if Wire::may_block(limit) {
            return socket::send_passing(self.io.as_fd(), parts, descriptors, true);
        }
        let aim = aim(Direction::Write, "ipc.send", limit);
        let call = |fd: &OwnedFd| socket::send_passing(fd.as_fd(), parts, descriptors, false);
        self.io.operate(aim, call, |_| false)
    }
}

/// Whether nothing was left when so much was received: less than there was room for, unless it ended with bytes that
/// brought descriptors.
fn was_all(count: usize, room: usize, has_passed: bool) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && count < room && !has_passed
}

/// Before there are frames, and by both sides' leave.
impl Wire {
    /// Receives so many bytes, and no descriptors.
    ///
    /// # Errors
    /// `UnexpectedEof`, `TimedOut`.
    #[track_caller]
    pub(crate) fn recv_exact(&self, mut buffer: &mut [u8], limit: Limit) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.recv(buffer, &mut VecDeque::new(), limit)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Sends all of these bytes.
    ///
    /// # Errors
    /// `BrokenPipe`, `TimedOut`.
    #[track_caller]
    pub(crate) fn send_all(&self, mut bytes: &[u8], limit: Limit) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.send(&[IoSlice::new(bytes)], &[], limit)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// A frame on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    head: [u8; HEAD],
    parcel: Parcel,
    /// How many bytes have left, head included.
    sent: usize,
}

impl Outgoing {
    /// # Errors
    /// `InvalidInput` when it is longer than a frame may be.
    pub(crate) fn new(kind: u8, number: u64, parcel: Parcel) -> io::Result<Outgoing> {
        let length = parcel.bytes.len();
        if length > LONGEST {
            let text =
                format!("a message of {length} bytes; {LONGEST} is the most that one may have");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        debug_assert!(
            parcel.descriptors.len() <= MOST_DESCRIPTORS,
            "a parcel does not take more"
        );
        let head = Head {
            length: length as u32,
            kind,
            descriptors: parcel.descriptors.len() as u16,
            number,
        };
        Ok(Outgoing {
            head: head.write(),
            parcel,
            sent: 0,
        })
    }

    /// A frame that says no more than what it is.
    pub(crate) fn plain(kind: u8, number: u64) -> Outgoing {
        Outgoing {
            head: Head {
                length: 0,
                kind,
                descriptors: 0,
                number,
            }
            .write(),
            parcel: Parcel::default(),
            sent: 0,
        }
    }

    /// Whether the other side has seen some of it, and so must be sent the rest.
    pub(crate) fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// Sends as much as there is room for; whether that was all that was left. Never waits.
    ///
    /// # Errors
    /// As for `send`.
    pub(crate) fn try_send(&mut self, wire: &Wire) -> io::Result<bool> {
        loop {
            match self.step(|parts, descriptors| wire.try_send(parts, descriptors)) {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets go of what it brought, if all of it has left: a descriptor that is passed on is to be there once.
    pub(crate) fn release(&mut self) {
        if self.sent == HEAD + self.parcel.bytes.len() {
            self.parcel = Parcel::default();
            // Nothing is left of that either.
            self.sent = HEAD;
        }
    }

    /// What it is to bring, also when a part of it has left.
    pub(crate) fn into_parcel(self) -> Parcel {
        self.parcel
    }

    /// Sends what has not been sent yet.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` when the other side is gone; `TimedOut`.
    ///
    /// # Cancellation
    /// Unwinds while it waits; what is left can be sent later.
    #[track_caller]
    pub(crate) fn send(&mut self, wire: &Wire, limit: Limit) -> io::Result<()> {
        while self.step(|parts, descriptors| wire.send(parts, descriptors, limit))? {}
        Ok(())
    }

    /// One call of the system; false when there was nothing left.
    #[track_caller]
    fn step(
        &mut self,
        send: impl FnOnce(&[IoSlice<'_>], &[BorrowedFd<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let whole = HEAD + self.parcel.bytes.len();
        if self.sent == whole {
            return Ok(false);
        }
        let head = &self.head[self.sent.min(HEAD)..];
        let body = &self.parcel.bytes[self.sent.saturating_sub(HEAD)..];
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let descriptors: Vec<BorrowedFd<'_>> = match self.sent {
            0 => self.parcel.descriptors.iter().map(AsFd::as_fd).collect(),
            _ => Vec::new(),
        };
        self.sent += send(&parts, &descriptors)?;
        Ok(true)
    }
}

/// A frame whose body is still coming.
#[derive(Debug)]
struct Begun {
    head: Head,
    /// With room for what comes next behind what has come.
    body: Vec<u8>,
    come: usize,
}

/// What has come and was not asked for yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Read ahead: `buffer[taken..]`.
    buffer: Vec<u8>,
    taken: usize,
    descriptors: VecDeque<OwnedFd>,
    begun: Option<Begun>,
    longest: usize,
    /// The last that was received was all that there was.
    was_all: bool,
    /// Bytes or descriptors are lost: what comes cannot be told apart any more.
    is_broken: bool,
}

impl Incoming {
    /// For frames of at most so many bytes, beside the head.
    pub(crate) fn new(longest: usize) -> Incoming {
        Incoming {
            buffer: Vec::new(),
            taken: 0,
            descriptors: VecDeque::new(),
            begun: None,
            longest: longest.min(LONGEST),
            was_all: false,
            is_broken: false,
        }
    }

    /// That begins with bytes that somebody else has read from the connection.
    pub(crate) fn with_ahead(longest: usize, ahead: Vec<u8>) -> Incoming {
        Incoming {
            buffer: ahead,
            ..Incoming::new(longest)
        }
    }

    /// Takes all that has come out, for whoever goes on with the connection.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        let mut ahead = Vec::new();
        if let Some(begun) = self.begun.take() {
            ahead.extend(begun.head.write());
            ahead.extend(&begun.body[..begun.come]);
        }
        ahead.extend(self.buffer.drain(..).skip(self.taken));
        self.taken = 0;
        ahead
    }

    /// Whether descriptors have come that belong to frames not asked for yet.
    pub(crate) fn has_descriptors(&self) -> bool {
        !self.descriptors.is_empty()
    }

    /// Whether nothing has been read ahead: what comes next is still in the socket.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.buffer.len() && self.begun.is_none()
    }

    /// From now on more may have come.
    pub(crate) fn look_again(&mut self) {
        self.was_all = false;
    }

    /// Whether nothing is left, neither here nor in the socket when it was last looked into.
    pub(crate) fn was_all(&self) -> bool {
        self.was_all && self.taken == self.buffer.len()
    }

    /// The next frame; `None` at the end of the connection.
    ///
    /// # Errors
    /// `WouldBlock` with `Limit::Now`, when it is not there yet;
    /// `InvalidData` for a frame that is too long or lacks its descriptors, which ends the connection for both sides:
    /// no border can be trusted any more; `UnexpectedEof` for half a frame; `TimedOut`.
    ///
    /// # Cancellation
    /// Unwinds while it waits; what has come is kept.
    #[track_caller]
    pub(crate) fn recv(&mut self, wire: &Wire, limit: Limit) -> io::Result<Option<Frame>> {
        if self.is_broken {
            return Err(invalid("the connection was given up after a damaged frame"));
        }
        let received = self.recv_frame(wire, limit);
        if let Err(error) = &received
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.is_broken = true;
            wire.hang_up();
        }
        received
    }

    #[track_caller]
    fn recv_frame(&mut self, wire: &Wire, limit: Limit) -> io::Result<Option<Frame>> {
        while self.begun.is_none() {
            if let Some((head, rest)) = self.buffer[self.taken..].split_first_chunk::<HEAD>() {
                let head = Head::read(head);
                self.check(head)?;
                let length = (head.length as usize).min(rest.len());
                let mut body = Vec::with_capacity((head.length as usize).min(STEP));
                body.extend_from_slice(&rest[..length]);
                self.taken += HEAD + length;
                self.begun = Some(Begun {
                    head,
                    body,
                    come: length,
                });
            } else if !self.read_ahead(wire, limit)? {
                return match self.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
        self.fill(wire, limit)?;
        let Some(Begun { head, body, .. }) = self.begun.take() else {
            unreachable!("it was begun above");
        };
        let count = usize::from(head.descriptors);
        if count > self.descriptors.len() {
            return Err(invalid(
                "a frame without the descriptors that it should bring",
            ));
        }
        let descriptors = self.descriptors.drain(..count).collect();
        Ok(Some(Frame {
            kind: head.kind,
            number: head.number,
            parcel: Parcel {
                bytes: body,
                descriptors,
            },
        }))
    }

    fn check(&self, head: Head) -> io::Result<()> {
        if head.length as usize > self.longest {
            let text = format!(
                "a frame of {} bytes, where {} is the most",
                head.length, self.longest
            );
            return Err(invalid(text));
        }
        Ok(())
    }

    /// A peer that sends descriptors without frames for them is none of ours.
    fn check_descriptors(&self) -> io::Result<()> {
        match self.descriptors.len() > MOST_UNCLAIMED {
            true => Err(invalid(UNCLAIMED)),
            false => Ok(()),
        }
    }

    /// False at the end.
    #[track_caller]
    fn read_ahead(&mut self, wire: &Wire, limit: Limit) -> io::Result<bool> {
        self.check_descriptors()?;
        self.buffer.drain(..self.taken);
        self.taken = 0;
        // Less than a head is left, or it would not be asked for more.
        let mut room = [0; READ_AHEAD];
        let before = self.descriptors.len();
        let count = wire.recv(&mut room, &mut self.descriptors, limit)?;
        let has_passed = self.descriptors.len() > before;
        self.was_all = was_all(count, READ_AHEAD, has_passed);
        self.buffer.extend_from_slice(&room[..count]);
        Ok(count > 0)
    }

    /// Reads the rest of the body, straight to where it stays.
    #[track_caller]
    fn fill(&mut self, wire: &Wire, limit: Limit) -> io::Result<()> {
        let Some(Begun { head, body, come }) = &mut self.begun else {
            return Ok(());
        };
        let length = head.length as usize;
        while *come < length {
            if *come == body.len() {
                body.resize((*come + STEP.max(*come)).min(length), 0);
            }
            if self.descriptors.len() > MOST_UNCLAIMED {
                return Err(invalid(UNCLAIMED));
            }
            // More may be there than is asked for.
            self.was_all = false;
            match wire.recv(&mut body[*come..], &mut self.descriptors, limit)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => *come += count,
            }
        }
        Ok(())
    }
}

fn invalid(text: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
