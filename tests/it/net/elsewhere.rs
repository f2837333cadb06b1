//! Sockets on plain threads, on other workers, in other runtimes, and many of them.

use super::*;

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
fn a_runtime_stops_in_the_middle_of_every_wait() {
    use greenloom::io::copy_bidirectional;
    use greenloom::net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};

    let path = unix::TempPath::new();
    let full = unix::TempPath::new();
    let _receiver = UnixDatagram::bind(&full).unwrap();
    for workers in [1, 4] {
        let _ = std::fs::remove_file(&path);
        let (path, full) = (path.0.clone(), full.0.clone());
        crate::watch::watched(move || {
            let ran = Runtime::builder().workers(workers).run(|| {
                let (near, _far) = pair();
                let writes = near.try_clone().unwrap();
                let (inner, outer) = (UnixStream::pair().unwrap().0, pair().0);
                let (accepts, _) = listen();
                let unix = UnixListener::bind(&path).unwrap();
                let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
                let datagrams = UnixDatagram::unbound().unwrap();
                let tasks = [
                    spawn(move || drop((&near).read(&mut [0]))),
                    spawn(move || drop((&writes).write_all(&vec![1; 64 << 20]))),
                    spawn(move || drop(copy_bidirectional(&inner, &outer))),
                    spawn(move || drop(accepts.accept())),
                    spawn(move || drop(unix.accept())),
                    spawn(move || drop(udp.recv(&mut [0]))),
                    // Waits by a timer, as the system tells nothing.
                    spawn(move || while datagrams.send_to(b"x", &full).is_ok() {}),
                ];
                greenloom::sleep(Duration::from_millis(5));
                (tasks, _far)
            });
            let (tasks, _far) = ran.unwrap();
            for task in tasks {
                let ended = task.join();
                assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
            }
        });
    }
}
