//! Datagrams over IP, on loopback.

use std::net::Ipv4Addr;

use greenloom::net::UdpSocket;
use greenloom::sleep;

use super::*;

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two sockets that talk to each other only.
fn couple() -> (UdpSocket, UdpSocket) {
    let ((near, here), (far, there)) = (socket(), socket());
    near.connect(there).unwrap();
    far.connect(here).unwrap();
    (near, far)
}

#[test]
fn datagrams_keep_their_borders_and_say_who_sent_them() {
    on_workers(|| {
        let ((near, here), (far, there)) = (socket(), socket());
        let receiver = spawn(move || {
            let (mut buffer, mut got) = ([0; 8], Vec::new());
            for _ in 0..3 {
                let (length, from) = far.recv_from(&mut buffer).unwrap();
                assert_eq!(from, here);
                got.push(buffer[..length].to_vec());
            }
            got
        });
        yield_now();
        assert_eq!(near.send_to(b"one", there).unwrap(), 3);
        assert_eq!(near.send_to(b"", there).unwrap(), 0);
        // More than there is room for: the rest is lost.
        assert_eq!(near.send_to(b"seventeen", there).unwrap(), 9);
        let got = receiver.join().unwrap();
        assert_eq!(got, [b"one".as_slice(), b"", b"seventee"]);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    run(|| {
        let ((near, far), (stranger, _)) = (couple(), socket());
        assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
        stranger
            .send_to(b"psst", near.local_addr().unwrap())
            .unwrap();
        far.send(b"mine").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(near.peek(&mut buffer).unwrap(), 4);
        assert_eq!(near.recv(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"mine");
        // EDESTADDRREQ, for which std has no kind.
        assert!(stranger.send(b"to whom?").is_err());
    });
}

#[test]
fn what_is_peeked_at_stays_and_says_its_sender() {
    run(|| {
        let ((near, here), (far, there)) = (socket(), socket());
        near.send_to(b"look", there).unwrap();
        far.wait_readable().unwrap();
        let mut buffer = [0; 8];
        for _ in 0..2 {
            assert_eq!(far.peek_from(&mut buffer).unwrap(), (4, here));
        }
        assert_eq!(far.recv_from(&mut buffer).unwrap(), (4, here));
        far.set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        assert_eq!(kind(far.recv_from(&mut buffer)), ErrorKind::TimedOut);
    });
}

#[test]
fn a_receive_that_takes_too_long_is_timed_out() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let (near, _) = socket();
        near.set_read_timeout(Some(Duration::from_secs(3600)))
            .unwrap();
        let begun = greenloom::time::now();
        assert_eq!(kind(near.recv_from(&mut [0])), ErrorKind::TimedOut);
        assert_eq!(kind(near.wait_readable()), ErrorKind::TimedOut);
        assert_eq!(greenloom::time::now() - begun, Duration::from_secs(7200));
        near.wait_writable().unwrap();
    });
    ran.unwrap();
}

#[test]
fn the_answer_that_nobody_listens_is_an_error_of_the_next_call() {
    run(|| {
        let ((near, _), (far, there)) = (socket(), socket());
        near.connect(there).unwrap();
        drop(far);
        near.set_read_timeout(Some(LONG)).unwrap();
        near.send(b"anybody?").unwrap();
        assert_eq!(kind(near.recv(&mut [0])), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_second_receiver_is_refused_and_clones_are_independent() {
    on_one_worker(|| {
        let (near, far) = couple();
        let near = Arc::new(near);
        let theirs = near.clone();
        let first = spawn(move || theirs.recv(&mut [0; 8]));
        settle();
        assert_eq!(kind(near.recv(&mut [0; 8])), ErrorKind::ResourceBusy);
        let twin = near.try_clone().unwrap();
        let second = spawn(move || twin.recv(&mut [0; 8]));
        settle();
        far.send(b"a").unwrap();
        settle();
        far.send(b"b").unwrap();
        assert_eq!(first.join().unwrap().unwrap(), 1);
        assert_eq!(second.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn closing_wakes_a_receiver_wherever_it_waits() {
    let (near, far) = couple();
    let near = Arc::new(near);
    let twin = near.try_clone().unwrap();
    std::thread::scope(|threads| {
        let theirs = near.clone();
        let on_thread = threads.spawn(move || theirs.recv(&mut [0]));
        run(|| {
            let theirs = twin.try_clone().unwrap();
            let other = Arc::new(theirs);
            let theirs = other.clone();
            let on_task = spawn(move || theirs.recv(&mut [0]));
            // Nothing tells when a thread waits in the kernel; if it does not yet, the test passes all the same.
            sleep(Duration::from_millis(20));
            other.close();
            near.close();
            assert_eq!(kind(on_task.join().unwrap()), ErrorKind::NotConnected);
        });
        assert_eq!(kind(on_thread.join().unwrap()), ErrorKind::NotConnected);
    });
    assert_eq!(kind(near.send(b"x")), ErrorKind::NotConnected);
    // The clone goes on.
    far.send(b"still").unwrap();
    assert_eq!(twin.recv(&mut [0; 8]).unwrap(), 5);
}

#[test]
fn a_cancelled_receive_loses_no_datagram() {
    on_workers(|| {
        let (near, far) = couple();
        let near = Arc::new(near);
        for n in 0..50_u8 {
            let theirs = near.clone();
            let receiver = spawn(move || {
                let mut byte = [0];
                theirs.recv(&mut byte).map(|_| byte[0])
            });
            if n % 2 == 0 {
                yield_now();
            }
            far.send(&[n]).unwrap();
            receiver.cancel();
            let got = receiver.join().map(Result::unwrap).unwrap_or_else(|_| {
                let mut byte = [0];
                near.recv(&mut byte).unwrap();
                byte[0]
            });
            assert_eq!(got, n);
        }
    });
}

#[test]
fn options_are_what_they_were_set_to() {
    let (near, _) = socket();
    near.set_ttl(7).unwrap();
    near.set_broadcast(true).unwrap();
    near.set_multicast_ttl_v4(3).unwrap();
    near.set_multicast_loop_v4(true).unwrap();
    assert_eq!(
        (
            near.ttl().unwrap(),
            near.broadcast().unwrap(),
            near.multicast_ttl_v4().unwrap(),
            near.multicast_loop_v4().unwrap()
        ),
        (7, true, 3, true)
    );
    near.set_recv_buffer_size(64 << 10).unwrap();
    near.set_send_buffer_size(32 << 10).unwrap();
    assert!(near.recv_buffer_size().unwrap() >= 64 << 10);
    assert!(near.send_buffer_size().unwrap() >= 32 << 10);
    assert!(near.take_error().unwrap().is_none());
    let nothing: &[SocketAddr] = &[];
    assert_eq!(kind(near.send_to(b"x", nothing)), ErrorKind::InvalidInput);
}

#[test]
fn a_group_hears_what_is_sent_to_it_on_loopback() {
    run(|| {
        let group = Ipv4Addr::new(239, 255, 77, 7);
        let near = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let (far, _) = socket();
        // Nothing leaves this machine: the interface is loopback, and packets may make no hop.
        far.set_multicast_ttl_v4(0).unwrap();
        let joined = near
            .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .and_then(|()| far.set_multicast_if_v4(&Ipv4Addr::LOCALHOST));
        if let Err(error) = joined {
            eprintln!("this machine has no multicast on loopback: not tested ({error})");
            return;
        }
        near.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = (group, near.local_addr().unwrap().port());
        far.send_to(b"all", to).unwrap();
        assert_eq!(near.recv(&mut [0; 8]).unwrap(), 3);
        near.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
    });
}

#[test]
fn they_become_those_of_std_and_come_back() {
    let (near, far) = couple();
    near.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let near = std::net::UdpSocket::from(near);
    assert_eq!(
        near.read_timeout().unwrap(),
        Some(Duration::from_millis(20))
    );
    let near = UdpSocket::try_from(near).unwrap();
    let far = UdpSocket::from(OwnedFd::from(far));
    run(move || {
        far.send(b"back").unwrap();
        assert_eq!(near.recv(&mut [0; 8]).unwrap(), 4);
        assert_eq!(kind(near.recv(&mut [0; 8])), ErrorKind::TimedOut);
    });
}

#[test]
fn a_busy_socket_does_not_starve_its_neighbours() {
    on_one_worker(|| {
        let (near, far) = couple();
        let chatter = spawn(move || {
            loop {
                near.send(b"x").unwrap();
                far.recv(&mut [0]).unwrap();
            }
        });
        yield_now();
        let (near, far) = couple();
        let waiter = spawn(move || far.recv(&mut [0; 8]));
        settle();
        near.send(b"and I?").unwrap();
        assert_eq!(waiter.join().unwrap().unwrap(), 6);
        chatter.cancel();
        assert!(chatter.join().unwrap_err().is_cancelled());
    });
}
