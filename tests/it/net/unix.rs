//! Sockets in the file system.

use std::fs;
use std::path::{Path, PathBuf};

use greenloom::net::{UnixDatagram, UnixListener, UnixStream};

use super::*;
use crate::watch::watched;

/// A path that is removed at the end.
pub(super) struct TempPath(pub(super) PathBuf);

impl TempPath {
    pub(super) fn new() -> TempPath {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("greenloom-{}-{number}", std::process::id());
        TempPath(std::env::temp_dir().join(name))
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_echo_comes_back_by_path() {
    on_workers(|| {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(
            listener.local_addr().unwrap().as_pathname(),
            Some(path.as_ref())
        );
        let server = spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                drop(spawn(move || io::copy(&mut &stream, &mut &stream)));
            }
        });
        let clients: Vec<_> = (0..10_u8)
            .map(|n| {
                let mut stream = UnixStream::connect(&path).unwrap();
                spawn(move || {
                    let sent = vec![n; 10_000];
                    for _ in 0..10 {
                        stream.write_all(&sent).unwrap();
                        let mut got = vec![0; sent.len()];
                        stream.read_exact(&mut got).unwrap();
                        assert!(got == sent);
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        server.cancel();
    });
}

#[test]
fn addresses_are_paths_or_nothing() {
    run(|| {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let near = UnixStream::connect(&path).unwrap();
        let (far, from) = listener.accept().unwrap();
        assert!(from.is_unnamed(), "{from:?}");
        assert!(near.local_addr().unwrap().is_unnamed());
        assert_eq!(near.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
        assert_eq!(far.local_addr().unwrap().as_pathname(), Some(path.as_ref()));
        assert_eq!(kind(UnixListener::bind(&path)), ErrorKind::AddrInUse);
        assert_eq!(
            kind(UnixStream::connect_addr(&from)),
            ErrorKind::InvalidInput
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_work() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    run(|| {
        let name = format!("greenloom-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let mut near = UnixStream::connect_addr(&address).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"abstract").unwrap();
        let mut got = [0; 8];
        far.read_exact(&mut got).unwrap();
        assert_eq!(
            near.peer_addr().unwrap().as_abstract_name(),
            Some(name.as_bytes())
        );
        let other = SocketAddr::from_abstract_name(format!("{name}-2")).unwrap();
        let receiver = UnixDatagram::bind_addr(&other).unwrap();
        let sender =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("{name}-3")).unwrap())
                .unwrap();
        sender.send_to_addr(b"hi", &other).unwrap();
        let (count, from) = receiver.recv_from(&mut got).unwrap();
        assert_eq!(count, 2);
        assert_eq!(
            from.as_abstract_name(),
            Some(format!("{name}-3").as_bytes())
        );
    });
}

/// Linux takes a path that leaves no room for the nought at its end.
#[cfg(target_os = "linux")]
#[test]
fn a_peer_with_the_longest_of_names_does_no_harm() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};
    run(|| {
        let folder = TempPath::new();
        fs::create_dir(&folder).unwrap();
        let name = folder.0.join("x".repeat(107 - folder.0.as_os_str().len()));
        assert_eq!(name.as_os_str().len(), 108);
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let there = TempPath::new();
        let datagrams = UnixDatagram::bind(&there).unwrap();
        let stream = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&stream, &SocketAddrUnix::new(&name).unwrap()).unwrap();
        connect(&stream, &SocketAddrUnix::new(path.as_ref()).unwrap()).unwrap();
        listener.accept().unwrap();
        fs::remove_file(&name).unwrap();
        let sender = socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        bind(&sender, &SocketAddrUnix::new(&name).unwrap()).unwrap();
        let sender = UnixDatagram::from(sender);
        sender.send_to(b"x", &there).unwrap();
        assert_eq!(datagrams.recv_from(&mut [0]).unwrap().0, 1);
        fs::remove_file(&name).unwrap();
        fs::remove_dir(&folder).unwrap();
    });
}

#[test]
fn nobody_listens_at_a_path() {
    let path = TempPath::new();
    assert_eq!(kind(UnixStream::connect(&path)), ErrorKind::NotFound);
    drop(UnixListener::bind(&path).unwrap());
    run(|| {
        assert_eq!(
            kind(UnixStream::connect(&path)),
            ErrorKind::ConnectionRefused
        );
        let long = "x".repeat(500);
        assert_eq!(kind(UnixStream::connect(&long)), ErrorKind::InvalidInput);
        assert_eq!(kind(UnixListener::bind(&long)), ErrorKind::InvalidInput);
    });
}

/// Linux says "would block" of a full queue and never tells that it is no longer full.
#[test]
fn a_connection_waits_for_room_at_the_listener() {
    let path = TempPath::new();
    let listener = {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket
            .bind(&socket2::SockAddr::unix(&path).unwrap())
            .unwrap();
        socket.listen(0).unwrap();
        UnixListener::from(OwnedFd::from(socket))
    };
    on_one_worker(|| {
        let mut waiting = Vec::new();
        let error = loop {
            match UnixStream::connect_timeout(&path, Duration::from_millis(5)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 1000, "the queue has no end");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let late = spawn({
            let path = path.0.clone();
            move || UnixStream::connect(path)
        });
        settle();
        assert!(!late.is_finished());
        for _ in 0..=waiting.len() {
            listener.accept_timeout(LONG).unwrap();
        }
        late.join().unwrap().unwrap();
    });
}

#[test]
fn a_pair_has_halves_and_time_limits() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut byte = [0];
        assert_eq!(kind((&near).read(&mut byte)), ErrorKind::TimedOut);
        let (mut reader, mut writer) = near.into_split();
        writer.write_all(b"half").unwrap();
        drop(writer);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "half");
        far.write_all(b"x").unwrap();
        reader.read_exact(&mut byte).unwrap();
        drop(far);
        assert_eq!(reader.read(&mut byte).unwrap(), 0);
    });
    ran.unwrap();
}

#[test]
fn closing_wakes_who_waits_and_ends_the_connection() {
    on_one_worker(|| {
        let path = TempPath::new();
        let (near, mut far) = UnixStream::pair().unwrap();
        let listener = Arc::new(UnixListener::bind(&path).unwrap());
        let near = Arc::new(near);
        let (theirs, line) = (near.clone(), listener.clone());
        let reader = spawn(move || (&*theirs).read(&mut [0]));
        let accepter = spawn(move || line.accept().map(drop));
        settle();
        near.close();
        listener.close();
        assert_eq!(kind(reader.join().unwrap()), ErrorKind::NotConnected);
        assert_eq!(kind(accepter.join().unwrap()), ErrorKind::NotConnected);
        assert!(listener.incoming().next().is_none());
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        assert_eq!(
            kind(UnixStream::connect(&path)),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_sender_of_datagrams_waits_for_its_receiver() {
    on_one_worker(|| {
        let path = TempPath::new();
        let receiver = UnixDatagram::bind(&path).unwrap();
        for connected in [true, false] {
            let sender = UnixDatagram::unbound().unwrap();
            if connected {
                sender.connect(&path).unwrap();
            }
            let to = path.0.clone();
            let task = spawn(move || {
                for n in 0..3000_u32 {
                    let datagram = n.to_ne_bytes();
                    match connected {
                        true => sender.send(&datagram).unwrap(),
                        false => sender.send_to(&datagram, &to).unwrap(),
                    };
                }
            });
            settle();
            assert!(!task.is_finished(), "there is room for 3000 datagrams");
            for n in 0..3000_u32 {
                let mut got = [0; 4];
                assert_eq!(receiver.recv(&mut got).unwrap(), 4);
                assert_eq!(u32::from_ne_bytes(got), n);
            }
            task.join().unwrap();
        }
    });
}

#[test]
fn a_sender_of_datagrams_gives_up_in_time_or_when_it_is_closed() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let path = TempPath::new();
        let _receiver = UnixDatagram::bind(&path).unwrap();
        let sender = Arc::new(UnixDatagram::unbound().unwrap());
        sender
            .set_write_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let error = loop {
            if let Err(error) = sender.send_to(b"x", &path) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let (theirs, to) = (sender.clone(), path.0.clone());
        let waiter = spawn(move || theirs.send_to(b"x", to));
        settle();
        sender.close();
        assert_eq!(kind(waiter.join().unwrap()), ErrorKind::NotConnected);
    });
    ran.unwrap();
}

#[test]
fn datagrams_say_who_sent_them() {
    run(|| {
        let (here, there) = (TempPath::new(), TempPath::new());
        let near = UnixDatagram::bind(&here).unwrap();
        let far = UnixDatagram::bind(&there).unwrap();
        let anonymous = UnixDatagram::unbound().unwrap();
        near.send_to(b"named", &there).unwrap();
        anonymous.send_to(b"not", &there).unwrap();
        let mut buffer = [0; 16];
        let (count, from) = far.peek_from(&mut buffer).unwrap();
        assert_eq!((count, from.as_pathname()), (5, Some(here.as_ref())));
        let (count, from) = far.recv_from(&mut buffer).unwrap();
        assert_eq!((count, from.as_pathname()), (5, Some(here.as_ref())));
        let (count, from) = far.recv_from(&mut buffer).unwrap();
        assert_eq!((count, from.is_unnamed()), (3, true));
        assert_eq!(
            kind(near.send_to(b"x", TempPath::new())),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn sockets_become_those_of_std_and_come_back() {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut near = std::os::unix::net::UnixStream::from(near);
    let begun = Instant::now();
    assert!(near.read(&mut [0]).is_err());
    assert!(begun.elapsed() >= Duration::from_millis(20), "it blocks");
    let near = UnixStream::try_from(near).unwrap();
    let far = UnixStream::from(OwnedFd::from(far));
    run(move || {
        (&far).write_all(b"x").unwrap();
        assert_eq!((&near).read(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn plain_threads_use_them_too() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 16];
        let count = far.recv(&mut buffer).unwrap();
        far.send(&buffer[..count]).unwrap();
    });
    run(|| {
        near.send(b"thread").unwrap();
        assert_eq!(near.recv(&mut [0; 16]).unwrap(), 6);
    });
    thread.join().unwrap();
    assert_eq!(kind(near.send(b"gone")), ErrorKind::ConnectionRefused);
}

#[test]
fn a_read_that_ends_where_descriptors_were_sent_is_not_the_last() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;
    watched(|| {
        on_workers(|| {
            let (near, mut far) = UnixStream::pair().unwrap();
            let reader = spawn(move || {
                let mut all = Vec::new();
                while all.len() < 8 {
                    // With more room than there is, each time.
                    let mut piece = [0; 100];
                    let got = far.read(&mut piece).unwrap();
                    all.extend_from_slice(&piece[..got]);
                }
                all
            });
            yield_now();
            for piece in [b"ab", b"cd", b"ef", b"gh"] {
                let mut space =
                    [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let sent = [near.as_fd()];
                assert!(control.push(SendAncillaryMessage::ScmRights(&sent)));
                let piece = [IoSlice::new(piece)];
                sendmsg(near.as_fd(), &piece, &mut control, SendFlags::empty()).unwrap();
            }
            assert_eq!(reader.join().unwrap(), b"abcdefgh");
        });
    });
}
