//! Strangers at a manager's door, and clients that know the key and send nonsense.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenloom::ipc::{Functions, Manager, ManagerServer};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::LONG;
use crate::util::may_have;

const KEY: &[u8] = b"a key for tests";

fn serve() -> (ManagerServer, SocketAddr) {
    let mut functions = Functions::new();
    functions.value("add", |n: &mut i64, by: i64| *n += by);
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = ManagerServer::bind_with(here, KEY, functions).unwrap();
    let address = server.address().as_socket_addr().unwrap();
    (server, address)
}

#[expect(clippy::disallowed_methods, reason = "on a plain thread of a test")]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// Somebody who knows the key gets in and is served.
#[track_caller]
fn is_open(address: SocketAddr) {
    let manager = Manager::connect(address, KEY).unwrap();
    let list = manager.list::<u32>().unwrap();
    list.push(&7).unwrap();
    assert_eq!(list.pop(), Ok(Some(7)));
}

/// Reads to the end of a connection, which comes.
fn is_sent_away(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_crowd_of_silent_strangers_keeps_nobody_out() {
    // More than are let stand at the door, which is 128, and those within; both ends of each are here.
    if !may_have(700) {
        return;
    }
    let (_server, address) = serve();
    let mut crowd: Vec<TcpStream> = (0..300).map(|_| connect(address)).collect();
    is_open(address);
    // Those who have been there longest had to go.
    is_sent_away(crowd.remove(0));
    // And those who begin and go no further.
    for stranger in crowd.iter_mut().skip(200) {
        let _ = stranger.write_all(b"glmgr\0\0\x01");
    }
    is_open(address);
}

#[test]
fn strangers_who_come_and_go_without_end_keep_nobody_out() {
    let (_server, address) = serve();
    let is_over = AtomicBool::new(false);
    let come_and_go = |begins: bool| {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            let mut stranger = connect(address);
            if begins {
                let _ = stranger.write_all(&[b"glmgr\0\0\x01".as_slice(), &[9; 64]].concat());
            }
            count += 1;
        }
        count
    };
    let strangers: u32 = std::thread::scope(|threads| {
        let come_and_go = &come_and_go;
        let crowd = [false, true, false].map(|begins| threads.spawn(move || come_and_go(begins)));
        for _ in 0..10 {
            // On a machine that is too busy for its own clients the crowd may push one out: it comes again.
            let mut comes = std::iter::repeat_with(|| Manager::connect(address, KEY));
            let manager = comes.by_ref().take(100).find_map(Result::ok);
            manager
                .expect("one of a hundred is let in")
                .list::<u32>()
                .unwrap()
                .push(&7)
                .unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        crowd.map(|stranger| stranger.join().unwrap()).iter().sum()
    });
    assert!(strangers > 0);
    is_open(address);
}

#[test]
fn garbage_before_the_handshake_is_sent_away() {
    let (_server, address) = serve();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 72],
        vec![255; 1 << 16],
        [b"glmgr\0\0\x01".as_slice(), &[7; 64]].concat(),
        [b"glmgr\0\0\x02".as_slice(), &[7; 64]].concat(),
    ] {
        let mut stranger = connect(address);
        let _ = stranger.write_all(&garbage);
        is_sent_away(stranger);
    }
    is_open(address);
}

/// The client's side of the handshake, by hand.
fn enter(stream: &mut TcpStream, key: &[u8]) -> std::io::Result<()> {
    let mut greeting = [0; 56];
    stream.read_exact(&mut greeting)?;
    let nonce = [3; 32];
    let proof = |side: &[u8]| {
        let mut proof = Hmac::<Sha256>::new_from_slice(key).unwrap();
        proof.update(side);
        proof.update(&greeting[8..]);
        proof.update(&nonce);
        proof.finalize().into_bytes()
    };
    stream.write_all(&greeting[..8])?;
    stream.write_all(&nonce)?;
    stream.write_all(&proof(b"greenloom manager: client"))?;
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs)?;
    assert_eq!(theirs[..], proof(b"greenloom manager: server")[..]);
    Ok(())
}

#[test]
fn the_server_proves_that_it_knows_the_key_to_those_who_do() {
    let (_server, address) = serve();
    enter(&mut connect(address), KEY).unwrap();
    assert!(enter(&mut connect(address), b"another").is_err());
}

/// The head of a frame.
fn head(length: u32, kind: u8, descriptors: u16, number: u64) -> Vec<u8> {
    let mut head = length.to_le_bytes().to_vec();
    head.extend([kind, 0]);
    head.extend(descriptors.to_le_bytes());
    head.extend(number.to_le_bytes());
    head
}

#[test]
fn a_frame_that_cannot_be_is_the_end_of_its_client_and_of_nobody_else() {
    let (_server, address) = serve();
    for bad in [head(u32::MAX, 1, 0, 0), head(0, 1, 9, 0)] {
        let mut client = connect(address);
        enter(&mut client, KEY).unwrap();
        client.write_all(&bad).unwrap();
        is_sent_away(client);
    }
    // A length that is not followed by so many bytes takes no memory: a thousand of them would be 900 gigabytes.
    let half: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut client = connect(address);
            enter(&mut client, KEY).unwrap();
            client.write_all(&head(900 << 20, 1, 0, 0)).unwrap();
            client
        })
        .collect();
    is_open(address);
    drop(half);
    is_open(address);
}

#[test]
fn a_client_that_asks_and_does_not_listen_is_not_served_without_end() {
    let (server, address) = serve();
    let manager = server.manager();
    let list = manager.named("big").list::<Vec<u8>>().unwrap();
    list.push(&vec![1; 1 << 20]).unwrap();
    let mut client = connect(address);
    client
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    enter(&mut client, KEY).unwrap();
    // The first object of this manager is number 1. To get its first item, a call of 28 bytes: after so many, whose
    // answers are a megabyte each, nobody reads the calls any more, and the socket is full.
    let mut get = head(12, 20, 0, 1 << 32 | 1);
    get.extend(8_u32.to_le_bytes());
    get.extend(0_u64.to_le_bytes());
    let calls = get.repeat(10_000);
    let mut asked = 0;
    let refused = loop {
        match client.write_all(&calls) {
            Ok(()) => asked += 10_000,
            Err(error) => break error,
        }
        assert!(asked < 10_000_000, "it would take {asked} megabytes");
    };
    assert!(
        matches!(refused.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{refused}"
    );
    is_open(address);
}

/// Calls of an honest client, and their likes.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        (0_u64..20, any::<u32>()).prop_map(|(object, call)| object << 32 | u64::from(call)),
        any::<u64>(),
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        // Parts with right lengths.
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..5).prop_map(
            |parts| {
                let led = |part: Vec<u8>| [&(part.len() as u32).to_le_bytes()[..], &part].concat();
                parts.into_iter().flat_map(led).collect()
            }
        ),
        Just([&3_u32.to_le_bytes()[..], b"add", &[0, 0, 0, 0, 2]].concat()),
    ];
    let kind = prop_oneof![0_u8..30, 248_u8..=255, any::<u8>()];
    let frame = (kind, number, body).prop_map(|(kind, number, body): (u8, u64, Vec<u8>)| {
        [head(body.len() as u32, kind, 0, number), body].concat()
    });
    proptest::collection::vec(frame, 0..60).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_stranger_sends_the_manager_serves_on(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        begins_well in any::<bool>(),
    ) {
        let (_server, address) = serve();
        let mut stranger = connect(address);
        let magic: &[u8] = if begins_well { b"glmgr\0\0\x01" } else { b"" };
        let _ = stranger.write_all(&[magic, &bytes].concat());
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        is_sent_away(stranger);
        is_open(address);
    }

    #[test]
    fn whatever_a_client_sends_the_manager_serves_on(frames in frames(), tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let (server, address) = serve();
        // One object of each kind.
        let manager = server.manager();
        let _objects = (
            manager.dict::<String, i64>().unwrap(),
            manager.list::<i64>().unwrap(),
            manager.value(&1_i64).unwrap(),
            manager.queue::<u32>().unwrap(),
            manager.bounded_queue::<u32>(1).unwrap(),
            manager.lock().unwrap(),
            manager.event().unwrap(),
            manager.semaphore(1).unwrap(),
            manager.barrier(2).unwrap(),
        );
        let mut client = connect(address);
        enter(&mut client, KEY).unwrap();
        let mut reader = client.try_clone().unwrap();
        let _ = client.write_all(&[frames, tail].concat());
        let _ = client.shutdown(std::net::Shutdown::Write);
        // Whatever it is answered, the end comes.
        let mut said = Vec::new();
        let end = reader.read_to_end(&mut said);
        prop_assert!(end.is_ok() || end.unwrap_err().kind() == ErrorKind::ConnectionReset);
        is_open(address);
        // What it held is free, as everything it waited for.
        prop_assert!(server.manager().names().is_ok());
    }
}
