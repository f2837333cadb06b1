//! TCP, between tasks, between workers, and with plain threads.

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
fn closing_wakes_an_accepter_and_those_in_line_behind_it() {
    on_workers(|| {
        let (listener, address) = listen();
        let listener = Arc::new(listener);
        let accepters: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                spawn(move || listener.accept().map(|_| ()))
            })
            .collect();
        settle();
        listener.close();
        for accepter in accepters {
            assert_eq!(kind(accepter.join().unwrap()), ErrorKind::NotConnected);
        }
        assert!(listener.incoming().next().is_none());
        assert_eq!(
            kind(TcpStream::connect(address)),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn closing_wakes_plain_threads() {
    let (near, _far) = pair();
    let (listener, _) = listen();
    let (near, listener) = (Arc::new(near), Arc::new(listener));
    let (has_read, has_accepted) = std::thread::scope(|scope| {
        let (theirs, sockets) = (near.clone(), listener.clone());
        let reader = scope.spawn(move || (&*theirs).read(&mut [0]));
        let accepter = scope.spawn(move || sockets.accept().map(|_| ()));
        // real sleep: nothing tells when a thread waits in the kernel; if it does not yet, the test
        // passes all the same.
        std::thread::sleep(Duration::from_millis(20));
        near.close();
        listener.close();
        (reader.join().unwrap(), accepter.join().unwrap())
    });
    assert_eq!(kind(has_read), ErrorKind::NotConnected);
    assert_eq!(kind(has_accepted), ErrorKind::NotConnected);
}

#[test]
fn one_reads_while_another_writes() {
    const LENGTH: usize = 4 << 20;
    on_workers(|| {
        let (address, _server) = echo_server();
        let stream = TcpStream::connect(address).unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sender = spawn(move || {
            let sent: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
            writer.write_all(&sent).unwrap();
            writer
        });
        let mut got = vec![0; LENGTH];
        reader.read_exact(&mut got).unwrap();
        assert!(
            got.iter()
                .enumerate()
                .all(|(n, &byte)| byte == (n % 251) as u8)
        );
        let stream = reader.reunite(sender.join().unwrap()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&stream).read(&mut got).unwrap(), 0);
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
fn a_second_reader_is_refused_and_the_first_one_served() {
    on_one_worker(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        let theirs = near.clone();
        let first = spawn(move || {
            let mut got = [0; 4];
            (&*theirs).read_exact(&mut got).map(|()| got)
        });
        settle();
        assert_eq!(kind((&*near).read(&mut [0])), ErrorKind::ResourceBusy);
        assert_eq!(
            (&*near).write(b"x").unwrap(),
            1,
            "writing is another matter"
        );
        far.write_all(b"mine").unwrap();
        assert_eq!(&first.join().unwrap().unwrap(), b"mine");
    });
}

#[test]
fn a_reset_is_an_error_of_the_read() {
    run(|| {
        let (mut near, far) = pair();
        let reader = spawn(move || near.read(&mut [0]));
        yield_now();
        far.set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert_eq!(kind(reader.join().unwrap()), ErrorKind::ConnectionReset);
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
fn accepters_are_served_in_the_order_they_came() {
    on_one_worker(|| {
        let (listener, address) = listen();
        let (listener, order) = (Arc::new(listener), Arc::new(Mutex::new(Vec::new())));
        let accepters: Vec<_> = (0..4)
            .map(|n| {
                let (listener, order) = (listener.clone(), order.clone());
                spawn(move || {
                    listener.accept().unwrap();
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        settle();
        // The one that goes passes its place on.
        accepters[1].cancel();
        let callers: Vec<_> = (0..3).map(|_| TcpStream::connect(address)).collect();
        for (n, accepter) in accepters.into_iter().enumerate() {
            assert_eq!(accepter.join().is_ok(), n != 1);
        }
        assert!(callers.iter().all(Result::is_ok));
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
    });
}

#[test]
fn an_accept_that_takes_too_long_is_timed_out_in_line_as_well() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let (listener, address) = listen();
        let listener = Arc::new(listener);
        let theirs = listener.clone();
        let first = spawn(move || theirs.accept().map(|_| ()));
        settle();
        let late = listener.accept_timeout(Duration::from_secs(60));
        assert_eq!(kind(late), ErrorKind::TimedOut);
        let caller = TcpStream::connect(address).unwrap();
        first.join().unwrap().unwrap();
        let late = listener.accept_timeout(Duration::from_secs(60));
        assert_eq!(kind(late), ErrorKind::TimedOut);
        drop(caller);
    });
    ran.unwrap();
}

#[test]
fn a_cancelled_accept_loses_no_connection() {
    on_workers(|| {
        let (listener, address) = listen();
        let listener = Arc::new(listener);
        let mut callers = Vec::new();
        for n in 0..50 {
            let theirs = listener.clone();
            let accepter = spawn(move || theirs.accept());
            if n % 2 == 0 {
                yield_now();
            }
            callers.push(TcpStream::connect(address).unwrap());
            accepter.cancel();
            // It has the connection, or somebody else gets it.
            if accepter.join().is_err() {
                listener.accept_timeout(LONG).unwrap();
            }
        }
    });
}

#[test]
fn a_cancelled_read_loses_no_bytes() {
    const LENGTH: usize = 20_000;
    on_workers(|| {
        let (mut near, mut far) = pair();
        let sender = spawn(move || {
            for n in 0..LENGTH {
                far.write_all(&[(n % 251) as u8]).unwrap();
                if n % 64 == 0 {
                    yield_now();
                }
            }
        });
        let (mut got, mut is_over) = (Vec::new(), false);
        while !is_over {
            let mut buffer = [0; 16];
            // Many of these are over before, while and after the bytes come.
            let limit = Duration::from_micros(got.len() as u64 % 90 + 1);
            match timeout(limit, || near.read(&mut buffer)) {
                Ok(read) => {
                    let count = read.unwrap();
                    is_over = count == 0;
                    got.extend_from_slice(&buffer[..count]);
                }
                Err(_) => yield_now(),
            }
        }
        sender.join().unwrap();
        assert_eq!(got.len(), LENGTH);
        assert!(
            got.iter()
                .enumerate()
                .all(|(n, &byte)| byte == (n % 251) as u8)
        );
    });
}

#[test]
fn a_reader_that_was_cancelled_leaves_its_place() {
    on_one_worker(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        for _ in 0..3 {
            let theirs = near.clone();
            let reader = spawn(move || (&*theirs).read(&mut [0]));
            settle();
            reader.cancel();
            assert!(reader.join().unwrap_err().is_cancelled());
        }
        far.write_all(b"x").unwrap();
        assert_eq!((&*near).read(&mut [0]).unwrap(), 1);
    });
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
fn a_writer_waits_for_a_slow_reader() {
    on_workers(|| {
        let (near, mut far) = pair();
        let filled = fill(&near);
        let writer = spawn(move || (&near).write_all(&[2; 1 << 20]));
        settle();
        assert!(!writer.is_finished());
        let mut got = vec![0; filled + (1 << 20)];
        far.read_exact(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert!(got[..filled].iter().all(|&byte| byte == 1));
        assert!(got[filled..].iter().all(|&byte| byte == 2));
    });
}

#[test]
fn a_cancelled_writer_leaves_its_place() {
    on_one_worker(|| {
        let (near, mut far) = pair();
        let filled = fill(&near);
        let near = Arc::new(near);
        let theirs = near.clone();
        let writer = spawn(move || (&*theirs).write(&[2]));
        settle();
        writer.cancel();
        assert!(writer.join().unwrap_err().is_cancelled());
        far.read_exact(&mut vec![0; filled]).unwrap();
        (&*near).write_all(&[3]).unwrap();
        let mut got = [0];
        far.read_exact(&mut got).unwrap();
        assert_eq!(got, [3], "what was cancelled was not sent");
    });
}

#[test]
fn a_socket_outlives_the_runtime_that_watched_it() {
    let (address, server) = echo_server();
    let echo = |mut stream: &TcpStream| {
        let mut got = [0; 5];
        stream.write_all(b"again").unwrap();
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"again");
    };
    let stream = run(|| {
        let stream = TcpStream::connect(address).unwrap();
        // Not there at once, so it is registered.
        echo(&stream);
        stream
    });
    for _ in 0..3 {
        run(|| echo(&stream));
        echo(&stream);
    }
    // It is dropped where no runtime is.
    drop(stream);
    server.cancel();
}

#[test]
fn a_waiter_goes_on_when_the_runtime_that_watches_its_socket_stops() {
    let watching = Runtime::builder().workers(1).build().unwrap();
    let (near, mut far) = pair();
    let filled = fill(&near);
    let near = Arc::new(near);
    let theirs = near.clone();
    let registered = watching.block_on(move || {
        theirs.set_read_timeout(Some(Duration::from_millis(1)))?;
        (&*theirs).read(&mut [0])
    });
    assert_eq!(kind(registered), ErrorKind::TimedOut);
    let other = Runtime::builder().workers(1).build().unwrap();
    let writer = other
        .handle()
        .spawn(move || (&*near).write_all(&[2]))
        .unwrap();
    other.block_on(settle);
    watching.stop();
    far.read_exact(&mut vec![0; filled + 1]).unwrap();
    writer.join().unwrap().unwrap();
}

#[test]
fn a_runtime_stops_though_sockets_wait() {
    let (listener, address) = listen();
    let listener = Arc::new(listener);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for n in 0..20 {
        let (listener, count) = (listener.clone(), Count(ended.clone()));
        let task = runtime.handle().spawn(move || {
            let _count = count;
            match n % 2 {
                0 => drop(listener.accept()),
                _ => drop(TcpStream::connect(address).unwrap().read(&mut [0])),
            }
        });
        drop(task.unwrap());
    }
    runtime.block_on(settle);
    runtime.stop();
    assert_eq!(ended.load(Ordering::Relaxed), 20);
}

#[test]
fn a_task_on_another_worker_takes_a_socket_over() {
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let ended = runtime.block_on(|| {
        let (address, _server) = echo_server();
        let mut stream = TcpStream::connect(address)?;
        for n in 0..100_u8 {
            // Wherever the next task starts.
            stream = spawn(move || {
                let mut got = [0];
                stream.write_all(&[n])?;
                stream.read_exact(&mut got)?;
                assert_eq!(got, [n]);
                io::Result::Ok(stream)
            })
            .join()
            .unwrap()?;
        }
        io::Result::Ok(())
    });
    ended.unwrap();
}

/// As many connections, of `wanted`, as the limit on open files allows.
fn affordable(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files / 2).unwrap().saturating_sub(200);
    if most < wanted {
        eprintln!("scaled down to {most} connections: {files} files may be open");
    }
    wanted.min(most)
}

#[test]
fn a_thousand_connections_at_once() {
    let count = affordable(1000);
    on_workers(|| {
        let (address, _server) = echo_server();
        let tasks: Vec<_> = (0..count)
            .map(|n| {
                spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let sent = n.to_le_bytes();
                    let mut got = sent.map(|byte| !byte);
                    stream.write_all(&sent).unwrap();
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, sent);
                    stream
                })
            })
            .collect();
        // All of them are open when the last one has had its answer.
        let streams: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        assert_eq!(streams.len(), count);
    });
}

#[test]
fn the_other_side_goes_away_in_the_middle() {
    on_workers(|| {
        let (near, mut far) = pair();
        let writer = spawn(move || (&near).write_all(&vec![1; 64 << 20]));
        far.read_exact(&mut [0; 1000]).unwrap();
        drop(far);
        let gone = kind(writer.join().unwrap());
        assert!(
            matches!(gone, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{gone:?}"
        );
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
fn a_chatty_connection_does_not_starve_its_neighbours() {
    on_one_worker(|| {
        let (near, far) = pair();
        let chatter = spawn(move || {
            let mut buffer = [0; 1];
            loop {
                // Both always succeed at once.
                (&near).write_all(b"x").unwrap();
                (&far).read_exact(&mut buffer).unwrap();
            }
        });
        yield_now();
        let (address, _server) = echo_server();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"and I?").unwrap();
        stream.read_exact(&mut [0; 6]).unwrap();
        chatter.cancel();
        assert!(chatter.join().unwrap_err().is_cancelled());
    });
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
