//! Connecting to one of several addresses: RFC 8305, as far as one machine can show it.

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen as listen_at, socket};

use super::*;

/// A listener whose queue is full: an attempt is neither taken nor refused.
struct Silent {
    _listener: OwnedFd,
    _queued: Vec<TcpStream>,
    address: SocketAddr,
}

impl Silent {
    fn new() -> Silent {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen_at(&listener, 0).unwrap();
        let address = getsockname(&listener).unwrap().try_into().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            queued.push(stream);
            assert!(queued.len() < 100, "it answers");
        }
        Silent {
            _listener: listener,
            _queued: queued,
            address,
        }
    }
}

fn dead() -> SocketAddr {
    listen().1
}

/// How long it takes to be connected, and with whom.
fn timed(addresses: &[SocketAddr]) -> (Duration, io::Result<SocketAddr>) {
    let begun = greenloom::time::now();
    let connected = TcpStream::connect(addresses).and_then(|stream| stream.peer_addr());
    (greenloom::time::now() - begun, connected)
}

#[test]
fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
    let (first, second) = (Silent::new(), Silent::new());
    let ran = Runtime::builder().virtual_clock().run(|| {
        let (_listener, good) = listen();
        let quarter = Duration::from_millis(250);
        let (took, peer) = timed(&[first.address, good]);
        assert_eq!((took, peer.unwrap()), (quarter, good));
        let (took, peer) = timed(&[first.address, second.address, good]);
        assert_eq!((took, peer.unwrap()), (quarter * 2, good));
        // What is refused costs nothing, whether others are under way or not.
        let (took, peer) = timed(&[dead(), dead(), good]);
        assert_eq!((took, peer.unwrap()), (Duration::ZERO, good));
        let (took, peer) = timed(&[first.address, dead(), good]);
        assert_eq!((took, peer.unwrap()), (quarter, good));
        let (took, peer) = timed(&[dead(), dead()]);
        assert_eq!(took, Duration::ZERO);
        assert_eq!(kind(peer), ErrorKind::ConnectionRefused);
    });
    ran.unwrap();
}

#[test]
fn attempts_that_are_cancelled_leave_nothing_behind() {
    let (first, second) = (Silent::new(), Silent::new());
    let ran = Runtime::builder().virtual_clock().run(|| {
        let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        // Other tests of this process open and close descriptors: the fewest of some rounds.
        let before = (0..5).filter_map(|_| open().ok()).max();
        for limit in (0..40).map(|step| Duration::from_millis(step * 20)) {
            let addresses = [first.address, second.address];
            let expired = timeout(limit, || TcpStream::connect(&addresses[..]));
            assert!(expired.is_err());
        }
        let after = (0..5).filter_map(|_| open().ok()).min();
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after < before + 60, "{before} descriptors, then {after}");
        }
    });
    ran.unwrap();
}

#[test]
fn a_plain_thread_races_as_well() {
    let first = Silent::new();
    let (_listener, good) = listen();
    let (took, peer) = timed(&[first.address, good]);
    assert_eq!(peer.unwrap(), good);
    assert!(took >= Duration::from_millis(250));
}
