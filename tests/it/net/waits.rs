//! Waits for sockets: who is woken, who is refused, and what a wait that was ended leaves behind.

use super::*;
use crate::watch::watched;

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
        // Nothing tells when a thread waits in the kernel; if it does not yet, the test passes all the same.
        greenloom::sleep(Duration::from_millis(20));
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
        let near = Arc::new(near);
        let theirs = near.clone();
        // More than the kernel ever takes, for it may find room for a little more at any time.
        let writer = spawn(move || (&*theirs).write_all(&vec![2; 64 << 20]));
        settle();
        writer.cancel();
        assert!(writer.join().unwrap_err().is_cancelled());
        let drain = spawn(move || {
            let mut got = Vec::new();
            far.read_to_end(&mut got).map(|_| got)
        });
        (&*near).write_all(&[3]).unwrap();
        drop(near);
        let got = drain.join().unwrap().unwrap();
        let (last, sent) = got.split_last().unwrap();
        assert_eq!(*last, 3);
        assert!(sent.iter().all(|&byte| byte == 2));
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
fn closing_wakes_plain_threads_that_wait_for_what_is_no_socket() {
    let (reader, writer) = io::pipe().unwrap();
    let reader = Arc::new(Evented::new(reader).unwrap());
    for round in 0..3 {
        let (theirs, other) = (reader.clone(), Evented::new(io::pipe().unwrap().0).unwrap());
        let thread = std::thread::spawn(move || {
            // A bell that has rung is silent again for the thread's next wait.
            other.close();
            assert_eq!(kind((&other).read(&mut [0])), ErrorKind::NotConnected);
            (&*theirs).read(&mut [0])
        });
        greenloom::sleep(Duration::from_millis(10));
        if round == 0 {
            (&writer).write_all(b"x").unwrap();
            assert_eq!(thread.join().unwrap().unwrap(), 1);
        } else {
            reader.close();
            assert_eq!(kind(thread.join().unwrap()), ErrorKind::NotConnected);
        }
    }
}

#[test]
fn a_read_that_urgent_data_cut_short_is_not_the_last() {
    use rustix::net::{SendFlags, send};
    watched(|| {
        on_workers(|| {
            let (near, mut far) = pair();
            let reader = spawn(move || {
                let mut all = [0; 4];
                let mut filled = 0;
                // With more room than there is, each time.
                while filled < all.len() {
                    let mut piece = [0; 100];
                    let got = far.read(&mut piece).unwrap();
                    all[filled..filled + got].copy_from_slice(&piece[..got]);
                    filled += got;
                }
                all
            });
            yield_now();
            send(&near, b"ab", SendFlags::empty()).unwrap();
            send(&near, b"!", SendFlags::OOB).unwrap();
            send(&near, b"cd", SendFlags::empty()).unwrap();
            assert_eq!(&reader.join().unwrap(), b"abcd");
        });
    });
}

#[test]
fn what_one_operation_does_not_want_another_one_gets() {
    watched(|| {
        on_workers(|| {
            let (reader, mut writer) = io::pipe().unwrap();
            let reader = Evented::new(reader).unwrap();
            writer.write_all(b"ab").unwrap();
            for _ in 0..3 {
                let wants_more =
                    |_: &io::PipeReader| io::Result::<()>::Err(ErrorKind::WouldBlock.into());
                let ended = timeout(Duration::from_millis(1), || reader.read_with(wants_more));
                assert!(ended.is_err());
            }
            let mut piece = [0; 100];
            assert_eq!((&reader).read(&mut piece).unwrap(), 2);
        });
    });
}

#[test]
fn what_the_system_cannot_count_is_not_turned_into_its_opposite() {
    let (near, _far) = pair();
    for (asked, got) in [
        (Duration::from_millis(500), Duration::from_secs(1)),
        (Duration::ZERO, Duration::ZERO),
        (Duration::from_secs(3), Duration::from_secs(3)),
    ] {
        near.set_linger(Some(asked)).unwrap();
        assert_eq!(near.linger().unwrap(), Some(got));
    }
    // Not zero, which would reset the connection; how much it is at most is the system's affair.
    near.set_linger(Some(Duration::from_secs(1 << 32))).unwrap();
    assert!(near.linger().unwrap() > Some(Duration::from_secs(1 << 20)));
    let small = near.send_buffer_size().unwrap();
    near.set_send_buffer_size(1 << 32).unwrap();
    assert!(near.send_buffer_size().unwrap() >= small.min(1 << 16));
    near.set_read_timeout(Some(Duration::from_nanos(1)))
        .unwrap();
    let mut blocking = std::net::TcpStream::from(near);
    assert!(blocking.read_timeout().unwrap().is_some());
    assert_eq!(kind(blocking.read(&mut [0])), ErrorKind::WouldBlock);
}
