//! Tests of the link: frames cut at every byte, damaged heads, lost descriptors.

use std::io::Write;

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
