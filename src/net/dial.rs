//! Connecting to the first of several addresses that answers (RFC 8305, "happy eyeballs").
//!
//! The attempts are one task's: each is a nonblocking connect, a new one begins when the last has failed or has had
//! 250 ms, and the first that succeeds is taken. So an address that swallows packets, as those of a broken IPv6 do,
//! costs a quarter of a second and not minutes. Addresses of the two families take turns, in the order in which the
//! resolver has sorted them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Type};

use crate::base::clock::Deadline;
use crate::driver::registration::Direction;
use crate::io::{Limit, Several};
use crate::scheduler::park;
use crate::sys::poll::{Interest, poll_fd};

use super::addr::{ToSocketAddrs, no_addresses};
use super::socket::Socket;

/// RFC 8305's "connection attempt delay".
const HEAD_START: Duration = Duration::from_millis(250);

type Attempt = Socket<std::net::TcpStream>;

/// Connects to the first that answers; the error is the last one's.
#[track_caller]
pub(super) fn connect(addresses: impl ToSocketAddrs) -> io::Result<Attempt> {
    let mut left = take_turns(addresses.to_socket_addrs()?.collect()).into_iter();
    let Some(first) = left.next() else {
        return Err(no_addresses());
    };
    match left.len() {
        0 => connect_one(&first, Limit::Never),
        _ => race(std::iter::once(first).chain(left).collect()),
    }
}

/// Connects to one address within a limit.
#[track_caller]
pub(super) fn connect_one(address: &SocketAddr, limit: Limit) -> io::Result<Attempt> {
    let (attempt, is_under_way) = begin(address)?;
    if is_under_way {
        let asks = |_: BorrowedFd<'_>| has_connected(attempt.get_ref());
        attempt.write_within("net.connect", limit, asks, |()| false)?;
    }
    Ok(attempt)
}

/// The first family first, then one of each in turn.
fn take_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(same.next());
        turns.extend(other.next());
        if turns.len() == before {
            return turns;
        }
    }
}

#[track_caller]
fn race(addresses: Vec<SocketAddr>) -> io::Result<Attempt> {
    let mut left = addresses.into_iter();
    let mut running: Vec<Attempt> = Vec::new();
    let mut next_at = park::deadline(Duration::ZERO);
    let mut last = None;
    loop {
        // One more, when it is time for it or nothing else is under way.
        if (running.is_empty() || next_at.is_due(park::now()))
            && let Some(address) = left.next()
        {
            match begin(&address) {
                Ok((attempt, false)) => return Ok(attempt),
                Ok((attempt, true)) => {
                    running.push(attempt);
                    next_at = park::deadline(HEAD_START);
                }
                Err(error) => last = Some(error),
            }
            continue;
        }
        if running.is_empty() {
            return Err(last.unwrap_or_else(no_addresses));
        }
        let until = match left.len() {
            0 => Deadline::NEVER,
            _ => next_at,
        };
        let (ended, others) = first_to_end(running, until)?;
        running = others;
        for attempt in ended {
            match has_connected(attempt.get_ref()) {
                Ok(()) => return Ok(attempt),
                // The next one need not wait for its time.
                Err(error) => {
                    last = Some(error);
                    next_at = park::deadline(Duration::ZERO);
                }
            }
        }
    }
}

/// Waits for the end of an attempt, or until it is time for another one; gives those that have ended, and the others.
#[track_caller]
fn first_to_end(
    running: Vec<Attempt>,
    until: Deadline,
) -> io::Result<(Vec<Attempt>, Vec<Attempt>)> {
    let mut is_over = false;
    loop {
        let mut several = Several::default();
        for attempt in &running {
            attempt.add_to(&mut several, Direction::Write);
        }
        let mut has_ended = Vec::with_capacity(running.len());
        for attempt in &running {
            let at_once = Some(Duration::ZERO);
            has_ended.push(poll_fd(attempt.as_fd(), Interest::Write, at_once)?);
        }
        if is_over || has_ended.contains(&true) {
            drop(several);
            let mut has_ended = has_ended.into_iter();
            return Ok(running
                .into_iter()
                .partition(|_| has_ended.next() == Some(true)));
        }
        is_over = !several.wait("net.connect_any", until)?;
    }
}

/// Begins an attempt; says whether it is still under way.
fn begin(address: &SocketAddr) -> io::Result<(Attempt, bool)> {
    let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let is_under_way = match socket.connect(&(*address).into()) {
        Ok(()) => false,
        Err(error) if is_begun(&error) => true,
        Err(error) => return Err(error),
    };
    Ok((Socket::from_nonblocking(socket.into()), is_under_way))
}

fn is_begun(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    // A signal does not end the attempt.
    matches!(errno, Some(Errno::INPROGRESS | Errno::INTR))
}

/// `WouldBlock` while an attempt to connect is under way.
fn has_connected(stream: &std::net::TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            // The attempt may have failed between the two questions.
            stream.take_error()?.map_or(Ok(()), Err)?;
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}
