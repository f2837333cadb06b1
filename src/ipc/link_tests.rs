//! Tests of the link: frames cut at every byte, damaged heads, lost descriptors.

use std::io::Write;

use proptest::prelude::*;

use crate::base::clock::Deadline;

use super::*;

fn wires() -> (Wire, Wire) {
    let (ours, theirs) = Wire::pair().unwrap();
    (ours, Wire::new(theirs))
}

fn parcel(bytes: &[u8]) -> Parcel {
    Parcel {
        bytes: bytes.to_vec(),
        descriptors: Vec::new(),
    }
}

#[test]
fn frames_keep_their_borders_however_the_bytes_come() {
    let mut bytes = Vec::new();
    for (kind, body) in [(1, &b"one"[..]), (2, b""), (3, &[9; 5000])] {
        let head = Head {
            length: body.len() as u32,
            kind,
            descriptors: 0,
            number: 77,
        };
        bytes.extend(head.write());
        bytes.extend(body);
    }
    for step in [1, 7, 16, 17, 4096, 9000] {
        let (sender, receiver) = wires();
        let mut incoming = Incoming::new(LONGEST);
        let mut got = Vec::new();
        for piece in bytes.chunks(step) {
            std::os::unix::net::UnixStream::from(sender.as_fd().try_clone_to_owned().unwrap())
                .write_all(piece)
                .unwrap();
            while let Ok(Some(frame)) = incoming.recv(&receiver, Limit::At(Deadline::PASSED)) {
                assert_eq!(frame.number, 77);
                got.push((frame.kind, frame.parcel.bytes));
            }
        }
        assert_eq!(
            got,
            [(1, b"one".to_vec()), (2, vec![]), (3, vec![9; 5000])],
            "by {step}"
        );
        drop(sender);
        assert!(incoming.recv(&receiver, Limit::Never).unwrap().is_none());
    }
}

#[test]
fn half_a_frame_and_too_long_a_frame_are_errors() {
    let (sender, receiver) = wires();
    let mut outgoing = Outgoing::new(1, 1, parcel(&[0; 100])).unwrap();
    outgoing.send(&sender, Limit::Never).unwrap();
    let error = Incoming::new(99).recv(&receiver, Limit::Never).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let (sender, receiver) = wires();
    std::os::unix::net::UnixStream::from(sender.as_fd().try_clone_to_owned().unwrap())
        .write_all(&[5, 0, 0])
        .unwrap();
    drop(sender);
    let error = Incoming::new(99).recv(&receiver, Limit::Never).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn descriptors_come_with_their_own_frames() {
    let (sender, receiver) = wires();
    let mut files = Vec::new();
    for number in 0..20 {
        let (reader, mut writer) = std::io::pipe().unwrap();
        write!(writer, "{number}").unwrap();
        let mut sent = parcel(&[0; 3]);
        if number % 3 != 0 {
            sent.descriptors.push(reader.into());
        }
        Outgoing::new(0, number, sent)
            .unwrap()
            .send(&sender, Limit::Never)
            .unwrap();
    }
    drop(sender);
    let mut incoming = Incoming::new(LONGEST);
    while let Some(frame) = incoming.recv(&receiver, Limit::Never).unwrap() {
        for fd in frame.parcel.descriptors {
            files.push(frame.number);
            let text = std::io::read_to_string(std::fs::File::from(fd)).unwrap();
            assert_eq!(text, frame.number.to_string());
        }
    }
    assert_eq!(files.len(), 13);
}

#[test]
fn a_frame_that_promises_descriptors_and_brings_none_is_an_error() {
    let (sender, receiver) = wires();
    let mut outgoing = Outgoing::new(0, 0, Parcel::default()).unwrap();
    outgoing.head[6] = 1;
    outgoing.send(&sender, Limit::Never).unwrap();
    let error = Incoming::new(9).recv(&receiver, Limit::Never).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn after_a_damaged_frame_nothing_is_taken_for_one() {
    let (sender, receiver) = wires();
    let mut incoming = Incoming::new(LONGEST);
    let lacking = Head {
        length: 0,
        kind: 1,
        descriptors: 1,
        number: 1,
    };
    let bytes = lacking.write();
    sender
        .send(&[IoSlice::new(&bytes)], &[], Limit::Never)
        .unwrap();
    let mut whole = Outgoing::new(2, 2, parcel(b"whole")).unwrap();
    whole.send(&sender, Limit::Never).unwrap();
    for _ in 0..2 {
        let error = incoming.recv(&receiver, Limit::Never).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    // The other side is told.
    assert!(sender.is_hung_up());
}

/// Writes raw bytes to a wire, from another thread: they may be more than the socket holds.
fn pour(wire: Wire, pieces: Vec<Vec<u8>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let socket = wire.as_fd().try_clone_to_owned().unwrap();
        drop(wire);
        let mut stream = std::os::unix::net::UnixStream::from(socket);
        // The reader goes when it has seen enough.
        let _ = pieces.iter().try_for_each(|piece| stream.write_all(piece));
    })
}

/// What was sent as kind, number and body.
type Sent = (u8, u64, Vec<u8>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_as_they_were_sent_wherever_they_are_cut(
        frames in proptest::collection::vec((any::<u8>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..9000)), 0..8),
        cuts in proptest::collection::vec(1_usize..9000, 1..20),
    ) {
        let mut bytes = Vec::new();
        for (kind, number, body) in &frames {
            let head = Head { length: body.len() as u32, kind: *kind, descriptors: 0, number: *number };
            bytes.extend(head.write());
            bytes.extend(body);
        }
        let mut pieces = Vec::new();
        for cut in cuts {
            pieces.push(bytes.drain(..cut.min(bytes.len())).collect());
        }
        pieces.push(bytes);
        let (sender, receiver) = wires();
        let pouring = pour(sender, pieces);
        let mut incoming = Incoming::new(9000);
        let mut got: Vec<Sent> = Vec::new();
        while let Some(frame) = incoming.recv(&receiver, Limit::Never).unwrap() {
            got.push((frame.kind, frame.number, frame.parcel.bytes));
        }
        pouring.join().unwrap();
        prop_assert_eq!(got, frames);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_and_cost_no_more_than_they_are(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        small in any::<bool>(),
    ) {
        let (sender, receiver) = wires();
        let mut bytes = bytes;
        if small {
            // Lengths that may be right.
            bytes.iter_mut().skip(1).step_by(16).for_each(|byte| *byte = 0);
            bytes.iter_mut().skip(2).step_by(16).for_each(|byte| *byte = 0);
            bytes.iter_mut().skip(3).step_by(16).for_each(|byte| *byte = 0);
        }
        let length = bytes.len();
        let pouring = pour(sender, vec![bytes]);
        let mut incoming = Incoming::new(LONGEST);
        let mut read = 0;
        while let Ok(Some(frame)) = incoming.recv(&receiver, Limit::Never) {
            read += HEAD + frame.parcel.bytes.len();
            prop_assert!(frame.parcel.descriptors.is_empty());
        }
        drop(receiver);
        pouring.join().unwrap();
        prop_assert!(read <= length);
        let room = incoming.begun.map_or(0, |begun| begun.body.capacity());
        prop_assert!(room <= 2 * STEP, "{} bytes of room for {}", room, length);
    }
}
