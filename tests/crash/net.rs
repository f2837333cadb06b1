//! Sockets where the whole process is short of something, or has changed something for all.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use greenloom::io::{copy_bidirectional, copy_one_way};
use greenloom::net::{Server, TcpListener, TcpStream, UnixStream};
use greenloom::{Runtime, spawn, yield_now};

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
            // Nor does a copy of large pieces, which the kernel would move by itself.
            let (sender, from) = UnixStream::pair().unwrap();
            let (to, receiver) = UnixStream::pair().unwrap();
            let (sender, receiver) = (StdStream::from(sender), StdStream::from(receiver));
            let sending =
                std::thread::spawn(move || while (&sender).write(&[0; 1 << 16]).is_ok() {});
            let receiving = std::thread::spawn(move || {
                (&receiver).read_exact(&mut [0; 1 << 18]).unwrap();
                // Until the copy waits for room, most likely; the test is right in any case.
                greenloom::sleep(Duration::from_millis(20));
            });
            let error = copy_one_way(&from, &to).unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "{error}"
            );
            drop(from);
            sending.join().unwrap();
            receiving.join().unwrap();
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

/// The open descriptors of this process, but for the one that reads them.
fn descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.count() - 1
}

#[cfg(target_os = "linux")]
#[test]
fn a_proxy_needs_pipes_only_for_what_is_under_way() {
    let outcome = child::run(|| {
        let ran = Runtime::builder().workers(1).run(|| {
            let mut ends = Vec::new();
            let mut proxies = Vec::new();
            for _ in 0..50 {
                let (client, outer) = UnixStream::pair().unwrap();
                let (inner, server) = UnixStream::pair().unwrap();
                proxies.push(spawn(move || copy_bidirectional(&outer, &inner)));
                ends.push((client, server));
            }
            let settle = || (0..20).for_each(|_| yield_now());
            settle();
            let quiet = descriptors();
            for (client, server) in &mut ends {
                client.write_all(b"there").unwrap();
                server.read_exact(&mut [0; 5]).unwrap();
                server.write_all(b"back").unwrap();
                client.read_exact(&mut [0; 4]).unwrap();
            }
            settle();
            // What is small goes without a pipe.
            assert_eq!(descriptors(), quiet);
            // Servers that do not read: their bytes rest in a pipe each.
            let writers: Vec<_> = ends
                .drain(..)
                .map(|(mut client, server)| {
                    (
                        spawn(move || client.write_all(&vec![1; 1 << 20]).map(|()| client)),
                        server,
                    )
                })
                .collect();
            settle();
            assert_eq!(descriptors(), quiet + 2 * 50);
            for (writer, mut server) in writers {
                let reader = spawn(move || {
                    let (mut all, mut count) = (vec![0; 1 << 16], 0);
                    while count < 1 << 20 {
                        count += server.read(&mut all)?;
                    }
                    std::io::Result::Ok(server)
                });
                ends.push((
                    writer.join().unwrap().unwrap(),
                    reader.join().unwrap().unwrap(),
                ));
            }
            settle();
            assert!(descriptors() <= quiet + 2 * 8, "{} {quiet}", descriptors());
            drop(ends);
            for proxy in proxies {
                proxy.join().unwrap().unwrap();
            }
            assert!(descriptors() <= quiet - 4 * 50 + 2 * 8);
        });
        ran.unwrap();
    });
    outcome.assert_success();
}

#[test]
fn without_a_descriptor_for_a_pipe_a_proxy_copies_by_itself() {
    let outcome = Child::default().limit("ulimit -n 40").run(|| {
        greenloom::run(|| {
            let (mut client, outer) = UnixStream::pair().unwrap();
            let (inner, mut server) = UnixStream::pair().unwrap();
            let proxy = spawn(move || copy_bidirectional(&outer, &inner));
            yield_now();
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            client.write_all(&vec![1; 1 << 17]).unwrap();
            server.read_exact(&mut vec![0; 1 << 17]).unwrap();
            drop(files);
            server.write_all(b"back").unwrap();
            client.read_exact(&mut [0; 4]).unwrap();
            drop((client, server));
            assert_eq!(proxy.join().unwrap().unwrap(), (1 << 17, 4));
        });
    });
    outcome.assert_success();
}
