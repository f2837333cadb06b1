//! TCP between tasks: what std promises of its sockets, and what ours promise besides.

mod copy;
mod dial;
mod elsewhere;
#[cfg(feature = "futures-io")]
mod polled;
mod server;
mod udp;
mod unix;
mod waits;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenloom::io::Evented;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::{JoinHandle, Runtime, run, spawn, timeout, yield_now};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Longer than anything here takes, on whatever machine; only a failure waits so long.
const LONG: Duration = Duration::from_secs(60);

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let near = TcpStream::connect(address).expect("a connection");
    let (far, _) = listener.accept().expect("its other end");
    (near, far)
}

/// Echoes whatever comes on any connection; ends when it is closed.
fn echo_server() -> (SocketAddr, JoinHandle<()>) {
    let (listener, address) = listen();
    let server = spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            drop(spawn(move || io::copy(&mut &stream, &mut &stream)));
        }
    });
    (address, server)
}

/// On one worker, and on four.
fn on_workers(f: impl Fn() + Send + Sync) {
    for workers in [1, 4] {
        Runtime::builder()
            .workers(workers)
            .run(&f)
            .expect("no fault in the test itself");
    }
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

/// On one worker, so that a task that has been yielded to has run until it waits.
fn on_one_worker<T>(f: impl FnOnce() -> T) -> T {
    let ran = Runtime::builder().workers(1).run(f);
    ran.expect("no fault in the test itself")
}

/// Lets the other tasks of the one worker run until all of them wait.
fn settle() {
    for _ in 0..10 {
        yield_now();
    }
}

/// Writes until the other side must have read something first.
fn fill(mut stream: &TcpStream) -> usize {
    let mut filled = 0;
    stream
        .set_write_timeout(Some(Duration::from_millis(30)))
        .unwrap();
    let error = loop {
        match stream.write(&[1; 1 << 16]) {
            Ok(count) => filled += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    stream.set_write_timeout(None).unwrap();
    filled
}

#[test]
fn an_echo_comes_back() {
    on_workers(|| {
        let (address, _server) = echo_server();
        let tasks: Vec<_> = (0..20_u8)
            .map(|n| {
                spawn(move || {
                    let mut stream = TcpStream::connect(address)?;
                    let sent = vec![n; 1000 * usize::from(n)];
                    for _ in 0..20 {
                        stream.write_all(&sent)?;
                        let mut got = vec![0; sent.len()];
                        stream.read_exact(&mut got)?;
                        assert!(got == sent);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.join().expect("no panic").expect("no error");
        }
    });
}

#[test]
fn the_half_that_is_shut_ends_and_the_other_goes_on() {
    run(|| {
        let (mut near, mut far) = pair();
        near.write_all(b"last words").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
        far.write_all(b"answer").unwrap();
        drop(far);
        text.clear();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
        assert_eq!(kind(near.write(b"x")), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_read_that_takes_too_long_is_timed_out() {
    let result = Runtime::builder().virtual_clock().run(|| {
        let (mut near, _far) = pair();
        near.set_read_timeout(Some(Duration::from_secs(3600)))
            .unwrap();
        let begun = greenloom::time::now();
        assert_eq!(kind(near.read(&mut [0])), ErrorKind::TimedOut);
        assert_eq!(kind(near.peek(&mut [0])), ErrorKind::TimedOut);
        assert_eq!(greenloom::time::now() - begun, Duration::from_secs(7200));
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            assert_eq!(
                kind(set(&near, Some(Duration::ZERO))),
                ErrorKind::InvalidInput
            );
        }
        near.set_read_timeout(None).unwrap();
        assert_eq!(near.read_timeout().unwrap(), None);
    });
    result.unwrap();
}

#[test]
fn what_is_peeked_at_is_still_there() {
    run(|| {
        let (mut near, mut far) = pair();
        let peeker = spawn(move || {
            let mut seen = [0; 8];
            let count = near.peek(&mut seen).unwrap();
            assert_eq!(&seen[..count], b"seen"[..count].as_ref());
            near.wait_readable().unwrap();
            let mut all = String::new();
            near.read_to_string(&mut all).unwrap();
            all
        });
        yield_now();
        far.write_all(b"seen").unwrap();
        drop(far);
        assert_eq!(peeker.join().unwrap(), "seen");
    });
}

#[test]
fn several_buffers_go_in_one_call() {
    run(|| {
        let (mut near, mut far) = pair();
        let sent = near
            .write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")])
            .unwrap();
        assert_eq!(sent, 5);
        let (mut first, mut other) = ([0; 3], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut other)];
        let got = far.read_vectored(&mut buffers).unwrap();
        assert_eq!((got, &first, &other[..2]), (5, b"abc", b"de".as_ref()));
    });
}

#[test]
fn halves_of_different_streams_do_not_reunite() {
    run(|| {
        let ((near, far), mut got) = (pair(), [0]);
        let (reader, writer) = near.into_split();
        let (mut other_reader, other_writer) = far.into_split();
        let error = reader.reunite(other_writer).unwrap_err();
        let (reader, other_writer) = (error.0, error.1);
        // The writing half ends its direction when it goes.
        drop(writer);
        assert_eq!(other_reader.read(&mut got).unwrap(), 0);
        assert!(other_reader.reunite(other_writer).is_ok());
        drop(reader);
    });
}

#[test]
fn nobody_listens_at_a_closed_port() {
    let (listener, address) = listen();
    drop(listener);
    for _ in 0..3 {
        let refused = run(|| kind(TcpStream::connect(address)));
        assert_eq!(refused, ErrorKind::ConnectionRefused);
        assert_eq!(
            kind(TcpStream::connect(address)),
            ErrorKind::ConnectionRefused
        );
    }
}

#[test]
fn names_are_resolved_and_addresses_tried_in_turn() {
    run(|| {
        let (listener, address) = listen();
        // Perhaps ::1 comes first, where nobody listens.
        let near = TcpStream::connect(("localhost", address.port())).unwrap();
        assert_eq!(near.peer_addr().unwrap(), address);
        let text = format!("localhost:{}", address.port());
        drop(TcpStream::connect(text).unwrap());
        let (dead, dead_address) = listen();
        drop(dead);
        drop(TcpStream::connect(&[dead_address, address][..]).unwrap());
        for _ in 0..3 {
            listener.accept().unwrap();
        }
        for wrong in ["localhost", "localhost:port", "localhost:70000"] {
            assert_eq!(kind(TcpStream::connect(wrong)), ErrorKind::InvalidInput);
        }
        let nothing: &[SocketAddr] = &[];
        assert_eq!(kind(TcpStream::connect(nothing)), ErrorKind::InvalidInput);
        assert!(TcpStream::connect("no-such-host.invalid:80").is_err());
    });
}

#[test]
fn the_other_kind_of_address_works_too() {
    run(|| {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            eprintln!("this machine has no IPv6: not tested");
            return;
        };
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        assert_eq!(near.local_addr().unwrap(), peer);
        (&far).write_all(b"six").unwrap();
        let mut got = [0; 3];
        near.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"six");
    });
}

#[test]
fn connecting_gives_up_in_time() {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    // Room for one connection, and nobody accepts: what comes after is not answered.
    let silent = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    bind(&silent, &any).unwrap();
    listen(&silent, 0).unwrap();
    let address = getsockname(&silent).unwrap().try_into().unwrap();
    run(|| {
        let mut connected = Vec::new();
        let begun = Instant::now();
        let error = loop {
            match TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
                Ok(stream) => connected.push(stream),
                Err(error) => break error,
            }
            assert!(connected.len() < 100, "it answers");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!(
            kind(TcpStream::connect_timeout(&address, Duration::ZERO)),
            ErrorKind::InvalidInput
        );
        let cancelled = timeout(Duration::from_millis(10), || TcpStream::connect(address));
        assert!(cancelled.is_err());
    });
}

#[test]
fn a_clone_is_a_handle_of_its_own() {
    on_one_worker(|| {
        let (near, mut far) = pair();
        near.set_read_timeout(Some(LONG)).unwrap();
        let twin = near.try_clone().unwrap();
        assert_eq!(twin.read_timeout().unwrap(), Some(LONG));
        let readers = [near, twin].map(|mut stream| {
            spawn(move || {
                let mut got = [0];
                stream.read(&mut got).map(|count| (count, got[0]))
            })
        });
        settle();
        far.write_all(b"x").unwrap();
        settle();
        far.write_all(b"y").unwrap();
        let mut got = readers.map(|reader| reader.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [(1, b'x'), (1, b'y')]);

        let (listener, address) = listen();
        let twin = listener.try_clone().unwrap();
        drop(listener);
        let _caller = TcpStream::connect(address).unwrap();
        twin.accept_timeout(LONG).unwrap();
    });
}

#[test]
fn sockets_become_those_of_std_and_come_back() {
    let (near, far) = pair();
    near.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut near = std::net::TcpStream::from(near);
    let begun = Instant::now();
    assert!(near.read(&mut [0]).is_err());
    assert!(begun.elapsed() >= Duration::from_millis(20), "it blocks");
    let near = TcpStream::try_from(near).unwrap();
    assert_eq!(
        near.read_timeout().unwrap(),
        Some(Duration::from_millis(20))
    );
    let far = TcpStream::from(OwnedFd::from(far));
    run(move || {
        let writer = spawn(move || (&far).write_all(b"back"));
        let mut got = [0; 4];
        near.set_read_timeout(Some(LONG)).unwrap();
        (&near).read_exact(&mut got).unwrap();
        assert_eq!(&got, b"back");
        writer.join().unwrap().unwrap();
    });
    let (listener, address) = listen();
    let listener = TcpListener::try_from(std::net::TcpListener::from(listener)).unwrap();
    assert_eq!(listener.local_addr().unwrap(), address);
}

#[test]
fn any_descriptor_can_be_waited_for() {
    on_workers(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (reader, writer) = (Evented::new(reader).unwrap(), Evented::new(writer).unwrap());
        assert_eq!(
            kind(reader.wait_readable_timeout(Duration::from_millis(1))),
            ErrorKind::TimedOut
        );
        writer.wait_writable().unwrap();
        let reader = Arc::new(reader);
        let theirs = reader.clone();
        let task = spawn(move || {
            theirs.wait_readable().unwrap();
            let mut got = [0; 9];
            (&*theirs).read_exact(&mut got).unwrap();
            got
        });
        settle();
        (&writer).write_all(b"some").unwrap();
        settle();
        (&writer).write_all(b" pipe").unwrap();
        assert_eq!(&task.join().unwrap(), b"some pipe");
        let theirs = reader.clone();
        let task = spawn(move || (&*theirs).read(&mut [0]));
        settle();
        reader.close();
        assert_eq!(kind(task.join().unwrap()), ErrorKind::NotConnected);
        let mut inner = Arc::into_inner(reader).unwrap().into_inner();
        drop(writer);
        assert_eq!(inner.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn two_over_one_descriptor_both_wait_and_are_both_woken() {
    let read = |mut one: &io::PipeReader| one.read(&mut [0]);
    on_workers(move || {
        let (reader, writer) = io::pipe().unwrap();
        let (reader, writer) = (Arc::new(reader), Evented::new(writer).unwrap());
        let copy = Arc::new(reader.try_clone().unwrap());
        let tasks = [reader.clone(), reader.clone(), copy].map(|reader| {
            let reader = Evented::new(reader).unwrap();
            spawn(move || reader.read_with(|one| read(one)))
        });
        settle();
        (&writer).write_all(b"abc").unwrap();
        for task in tasks {
            assert_eq!(task.join().unwrap().unwrap(), 1);
        }
        let last = Evented::new(reader).unwrap();
        assert_eq!(
            kind(last.wait_readable_timeout(Duration::from_millis(1))),
            ErrorKind::TimedOut
        );
    });
}
