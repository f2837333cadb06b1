//! TCP, between tasks, between workers, and with plain threads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use greenloom::net::{TcpListener, TcpStream};
use greenloom::{JoinHandle, Runtime, run, spawn, yield_now};

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
fn closing_wakes_a_reader() {
    on_workers(|| {
        let (near, _far) = pair();
        let near = std::sync::Arc::new(near);
        let theirs = near.clone();
        let reader = spawn(move || (&*theirs).read(&mut [0]));
        yield_now();
        near.close();
        assert_eq!(kind(reader.join().unwrap()), ErrorKind::NotConnected);
        assert_eq!(kind((&*near).write(b"x")), ErrorKind::NotConnected);
        assert!(near.is_closed());
    });
}

#[test]
fn plain_threads_use_sockets_too() {
    let (listener, address) = listen();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    assert_eq!(kind(stream.read(&mut [0])), ErrorKind::TimedOut);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"thread").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "thread");
    assert_eq!(server.join().unwrap().unwrap(), 6);
}
