//! Sockets where the whole process is short of something, or has changed something for all.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::time::Duration;

use greenloom::net::{Server, TcpListener, TcpStream};

use crate::child::{self, Child};

#[test]
fn an_accept_without_a_descriptor_left_is_an_error_and_the_connection_waits() {
    let outcome = Child::default().limit("ulimit -n 40").run(|| {
        greenloom::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let _caller = TcpStream::connect(address).unwrap();
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            for _ in 0..3 {
                let error = listener.accept().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            }
            let error = TcpStream::connect(address).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            files.pop();
            listener.accept().unwrap();
        });
    });
    outcome.assert_success();
}

#[test]
fn a_write_raises_no_signal() {
    let outcome = child::run(|| {
        // SAFETY: no handler is installed, and no other thread of the child has one at stake.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let write_after_the_end = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            drop(listener.accept().unwrap());
            // The first one is answered by a reset.
            while near.write(b"x").is_ok() {
                greenloom::yield_now();
            }
            assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            let both = [IoSlice::new(b"a"), IoSlice::new(b"b")];
            let error = near.write_vectored(&both).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        };
        greenloom::run(write_after_the_end);
        write_after_the_end();
    });
    outcome.assert_success();
}

#[test]
fn a_server_without_descriptors_waits_and_recovers() {
    let outcome = Child::default().limit("ulimit -n 48").run(|| {
        let report = greenloom::run(|| {
            let server = Server::bind("127.0.0.1:0").unwrap();
            let (address, stopper) = (server.local_addr().unwrap(), server.stopper());
            let serving = greenloom::spawn(move || {
                server.serve(|connection| (&mut connection.stream()).write_all(b"x"))
            });
            greenloom::yield_now();
            let mut callers = [TcpStream::connect(address).unwrap()];
            callers[0].read_exact(&mut [0]).unwrap();
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            // Room for this end of a connection, not for the other one.
            drop(files.pop());
            let mut caller = TcpStream::connect(address).unwrap();
            caller
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            let error = caller.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            drop(files);
            caller
                .set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            caller.read_exact(&mut [0]).unwrap();
            stopper.stop();
            serving.join().unwrap().unwrap()
        });
        assert_eq!((report.accepted, report.served), (2, 2));
        assert!(report.shortages > 0, "{report:?}");
    });
    outcome.assert_success();
}
