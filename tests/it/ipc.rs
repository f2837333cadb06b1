//! What processes say to one another.

use std::time::{Duration, Instant};

use greenloom::ipc::{self, Conn, RecvError, SendError};
use greenloom::process::Process;

#[test]
fn values_cross_a_pipe_in_both_directions() {
    let (ours, theirs) = ipc::pipe::<Vec<String>, u32>().unwrap();
    fn child(parent: Conn<u32, Vec<String>>) {
        let list = parent.recv().unwrap();
        assert_eq!(list, ["a", "list"]);
        parent.send(&142_857).unwrap();
    }
    let process = Process::spawn(child, theirs).unwrap();
    ours.send(&vec!["a".to_owned(), "list".to_owned()]).unwrap();
    assert_eq!(ours.recv().unwrap(), 142_857);
    process.join().unwrap();
    assert!(matches!(ours.recv(), Err(RecvError::Closed)));
    assert!(matches!(ours.send(&vec![]), Err(SendError::Closed)));
}

#[test]
fn a_full_pipe_keeps_the_green_sender_waiting_and_nobody_else() {
    greenloom::run(|| {
        let (ours, theirs) = ipc::pipe::<Vec<u8>, ()>().unwrap();
        let sender = greenloom::spawn(move || {
            for n in 0..100u8 {
                ours.send(&vec![n; 10_000]).unwrap();
            }
        });
        greenloom::sleep(Duration::from_millis(20));
        assert!(!sender.is_finished());
        for n in 0..100u8 {
            assert_eq!(theirs.recv().unwrap(), vec![n; 10_000]);
        }
        sender.join().unwrap();
        assert!(matches!(theirs.recv(), Err(RecvError::Closed)));
    });
}

#[test]
fn a_cancelled_sender_leaves_no_half_message() {
    greenloom::run(|| {
        let (ours, theirs) = ipc::pipe::<Vec<u8>, ()>().unwrap();
        let theirs_too = ours.clone();
        let sender = greenloom::spawn(move || theirs_too.send(&vec![1; 4 << 20]).unwrap());
        // Cancelled before a part of it has left, it would send nothing.
        assert!(theirs.poll(Duration::from_secs(60)).unwrap());
        sender.cancel();
        assert!(sender.join().unwrap_err().is_cancelled());
        let next = greenloom::spawn(move || ours.send(&vec![2; 3]).unwrap());
        assert_eq!(theirs.recv().unwrap(), vec![1; 4 << 20]);
        assert_eq!(theirs.recv().unwrap(), vec![2; 3]);
        next.join().unwrap();
    });
}

#[test]
fn a_cancelled_or_late_receiver_loses_nothing() {
    greenloom::run(|| {
        let (ours, theirs) = ipc::pipe::<(), Vec<u8>>().unwrap();
        let began = Instant::now();
        let late = ours.recv_timeout(Duration::from_millis(5));
        assert!(matches!(late, Err(RecvError::TimedOut)));
        assert!(began.elapsed() >= Duration::from_millis(5));
        let receiver = {
            let ours = ours.clone();
            greenloom::spawn(move || ours.recv().unwrap())
        };
        let sender = greenloom::spawn(move || theirs.send(&vec![3; 1 << 20]).unwrap());
        greenloom::sleep(Duration::from_millis(1));
        receiver.cancel();
        let got = receiver.join().or_else(|_| ours.recv().map_err(drop));
        assert_eq!(got.unwrap(), vec![3; 1 << 20]);
        sender.join().unwrap();
    });
}

#[test]
fn poll_sees_messages_and_the_end() {
    let (ours, theirs) = ipc::pipe::<(), ()>().unwrap();
    assert!(!ours.poll(Duration::ZERO).unwrap());
    theirs.send(&()).unwrap();
    assert!(ours.poll(Duration::ZERO).unwrap());
    ours.recv().unwrap();
    assert!(!ours.poll(Duration::from_millis(1)).unwrap());
    drop(theirs);
    // A child that another test starts at this moment has a copy of that end until it runs its program.
    assert!(ours.poll(Duration::from_secs(60)).unwrap());
    assert!(matches!(ours.try_recv(), Err(RecvError::Closed)));
}

#[test]
fn ends_of_pipes_cross_pipes_with_what_they_have_read_ahead() {
    let (carrier, receiver) = ipc::pipe::<Conn<u32>, ()>().unwrap();
    let (one, other) = ipc::pipe::<u32, u32>().unwrap();
    for n in 0..10 {
        one.send(&n).unwrap();
    }
    assert_eq!(other.recv().unwrap(), 0);
    carrier.send(&other).unwrap();
    drop(other);
    let other = receiver.recv().unwrap();
    for n in 1..10 {
        assert_eq!(other.recv().unwrap(), n);
    }
    other.send(&7).unwrap();
    assert_eq!(one.recv().unwrap(), 7);
}
