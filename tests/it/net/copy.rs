//! Copying between streams, as a proxy does.

use greenloom::io::{Duplex, copy, copy_bidirectional, copy_one_way};
use greenloom::net::UnixStream;

use super::*;
use crate::watch::watched;

/// A client and a server with a proxy between them.
fn proxied() -> (TcpStream, UnixStream, JoinHandle<io::Result<(u64, u64)>>) {
    let ((client, outer), (inner, server)) = (pair(), UnixStream::pair().unwrap());
    let proxy = spawn(move || copy_bidirectional(&outer, &inner));
    (client, server, proxy)
}

#[test]
fn what_goes_in_on_one_side_comes_out_on_the_other() {
    on_workers(|| {
        let (mut client, mut server, proxy) = proxied();
        let sender = spawn(move || {
            client.write_all(&[7; 3 << 20]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).map(|_| answer)
        });
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 3 << 20);
        // The other direction is still open.
        server.write_all(b"thanks").unwrap();
        drop(server);
        assert_eq!(sender.join().unwrap().unwrap(), "thanks");
        assert_eq!(proxy.join().unwrap().unwrap(), (3 << 20, 6));
    });
}

#[test]
fn an_error_of_one_direction_ends_the_other() {
    on_workers(|| {
        let (client, mut server, proxy) = proxied();
        (&client).write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(kind(proxy.join().unwrap()), ErrorKind::ConnectionReset);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_proxy_that_is_cancelled_closes_both_connections() {
    on_workers(|| {
        let (mut client, mut server, proxy) = proxied();
        yield_now();
        proxy.cancel();
        assert!(proxy.join().unwrap_err().is_cancelled());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_side_that_does_not_read_keeps_the_other_from_writing() {
    on_one_worker(|| {
        let (client, server, proxy) = proxied();
        let filled = fill(&client);
        // No more than the buffers of the kernel, twice, and one of ours: the proxy gathers nothing.
        assert!(filled < 64 << 20, "{filled}");
        drop(server);
        assert!(proxy.join().unwrap().is_err());
    });
}

#[test]
fn a_copy_that_never_waits_lets_others_run() {
    on_one_worker(|| {
        let endless = spawn(|| copy(&mut io::repeat(1), &mut io::sink()));
        yield_now();
        endless.cancel();
        assert!(endless.join().unwrap_err().is_cancelled());
    });
}

/// A sender and a receiver with two sockets between them, from the first of which to the second one has to copy.
fn way() -> (UnixStream, Arc<UnixStream>, Arc<UnixStream>, UnixStream) {
    let (sender, from) = UnixStream::pair().unwrap();
    let (to, receiver) = UnixStream::pair().unwrap();
    (sender, Arc::new(from), Arc::new(to), receiver)
}

/// Small pieces, which go by a buffer, and large ones, which the kernel may move by itself.
#[test]
fn a_cancelled_copy_loses_nothing_as_long_as_the_other_side_has_room() {
    on_one_worker(|| {
        let (mut sender, from, to, mut receiver) = way();
        receiver
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for round in 0..120_u32 {
            let (source, sink) = (from.clone(), to.clone());
            let task = spawn(move || copy_one_way(&source, &sink));
            for piece in 0..round % 4 {
                let number = (round * 4 + piece).to_le_bytes();
                let bytes = number.repeat(if round % 2 == 0 { 1 } else { 5000 });
                sender.write_all(&bytes).unwrap();
                sent.extend(bytes);
                (0..round % 3).for_each(|_| yield_now());
            }
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(kind(receiver.read_to_end(&mut got)), ErrorKind::TimedOut);
        }
        sender.shutdown(Shutdown::Write).unwrap();
        let last = spawn(move || copy_one_way(&from, &to));
        receiver.set_read_timeout(None).unwrap();
        receiver.read_to_end(&mut got).unwrap();
        last.join().unwrap().unwrap();
        assert!(got == sent);
    });
}

#[test]
fn both_time_limits_hold_for_what_is_copied() {
    let hour = Duration::from_secs(3600);
    let ran = Runtime::builder().virtual_clock().run(|| {
        let (sender, from, to, _receiver) = way();
        from.set_read_timeout(Some(hour)).unwrap();
        let begun = greenloom::time::now();
        assert_eq!(kind(copy_one_way(&from, &to)), ErrorKind::TimedOut);
        assert_eq!(greenloom::time::now() - begun, hour);
        // And where the receiver does not read.
        to.set_write_timeout(Some(hour)).unwrap();
        let endless = spawn(move || copy(&mut io::repeat(1), &mut &sender));
        let begun = greenloom::time::now();
        assert_eq!(kind(copy_one_way(&from, &to)), ErrorKind::TimedOut);
        assert_eq!(greenloom::time::now() - begun, hour);
        endless.cancel();
        assert!(endless.join().unwrap_err().is_cancelled());
    });
    ran.unwrap();
}

#[test]
fn closing_either_socket_ends_a_copy() {
    on_workers(|| {
        for closes_source in [true, false] {
            let (sender, from, to, _receiver) = way();
            let (source, sink) = (from.clone(), to.clone());
            let task = spawn(move || copy_one_way(&source, &sink));
            yield_now();
            if closes_source {
                from.close();
            } else {
                to.close();
                (&sender).write_all(b"x").unwrap();
            }
            assert_eq!(kind(task.join().unwrap()), ErrorKind::NotConnected);
        }
    });
}

#[test]
fn a_copy_goes_on_when_a_clone_of_its_socket_blocks() {
    watched(|| {
        on_one_worker(|| {
            for is_before in [true, false] {
                let (near, from) = pair();
                let (to, mut receiver) = UnixStream::pair().unwrap();
                let clones = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let surrender = |(from, to)| {
                    let blocking: (std::net::TcpStream, std::os::unix::net::UnixStream) =
                        (TcpStream::into(from), UnixStream::into(to));
                    blocking
                };
                let (mut clones, mut blocking) = (Some(clones), None);
                if is_before {
                    blocking = clones.take().map(surrender);
                }
                let task = spawn(move || copy_one_way(&from, &to));
                settle();
                if !is_before {
                    blocking = clones.take().map(surrender);
                }
                let sender = spawn(move || (&near).write_all(&[5; 1 << 20]));
                let mut got = Vec::new();
                receiver.read_to_end(&mut got).unwrap();
                assert_eq!(got.len(), 1 << 20);
                sender.join().unwrap().unwrap();
                assert_eq!(task.join().unwrap().unwrap(), 1 << 20);
                drop(blocking);
            }
        });
    });
}

#[test]
fn plain_threads_copy_between_sockets_too() {
    let (mut sender, from, to, mut receiver) = way();
    let thread = std::thread::spawn(move || copy_one_way(&from, &to));
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        receiver.read_to_end(&mut got).map(|_| got.len())
    });
    sender.write_all(&[3; 3 << 20]).unwrap();
    drop(sender);
    assert_eq!(thread.join().unwrap().unwrap(), 3 << 20);
    assert_eq!(reader.join().unwrap().unwrap(), 3 << 20);
}

#[test]
fn a_direction_that_is_stuck_leaves_the_other_one_alone() {
    on_one_worker(|| {
        let (client, mut server, proxy) = proxied();
        assert!(fill(&client) > 0);
        for _ in 0..100 {
            server.write_all(b"back").unwrap();
            (&client).read_exact(&mut [0; 4]).unwrap();
        }
        proxy.cancel();
        assert!(proxy.join().unwrap_err().is_cancelled());
    });
}

/// Panics when it has read something.
struct Broken(UnixStream);

struct Half<'a>(&'a UnixStream);

impl Read for Half<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Ok(0),
            _ => panic!("it does not like that"),
        }
    }
}

impl Write for Half<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Broken {
    fn both_ways(&self) -> impl Read + Write + '_ {
        Half(&self.0)
    }

    fn close_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

#[test]
fn a_panic_of_one_direction_ends_the_other() {
    watched(|| {
        on_workers(|| {
            for is_first in [true, false] {
                let ((mut client, near), (far, _server)) =
                    (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
                let proxy = spawn(move || match is_first {
                    true => copy_bidirectional(&Broken(near), &far),
                    false => copy_bidirectional(&far, &Broken(near)),
                });
                client.write_all(b"x").unwrap();
                assert!(proxy.join().unwrap_err().is_panic());
            }
        });
    });
}

#[test]
fn a_copy_goes_on_behind_urgent_data() {
    use rustix::net::{SendFlags, send};
    watched(|| {
        on_workers(|| {
            let (near, from) = pair();
            let (to, mut receiver) = UnixStream::pair().unwrap();
            let task = spawn(move || copy_one_way(&from, &to));
            // As much as the kernel moves by itself, before and behind.
            let reader = spawn(move || {
                let mut got = Vec::new();
                receiver.read_to_end(&mut got).map(|_| got.len())
            });
            (&near).write_all(&[1; 1 << 20]).unwrap();
            send(&near, b"!", SendFlags::OOB).unwrap();
            (&near).write_all(&[2; 1 << 20]).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 2 << 20);
            assert_eq!(task.join().unwrap().unwrap(), 2 << 20);
        });
    });
}
