//! What a socket may rely on: no edge lost, no stranger woken, nobody forgotten.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests block their own threads"
)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::clock::{Deadline, real_now};
use crate::driver::reactor::{Reactor, ReactorGone};
use crate::driver::registration::{Arm, Direction, Event, Registration, Seen, Standing};

const SOON: Duration = Duration::from_secs(20);

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (Arc::clone(&bell), Waker::from(bell))
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Turns until it has been rung this often.
    fn wait(&self, reactor: &mut Reactor, times: usize) {
        let end = Instant::now() + SOON;
        while self.rung() < times {
            assert!(Instant::now() < end, "never woken");
            let _ = reactor.turn(Deadline::after(real_now(), SOON)).unwrap();
        }
    }
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

fn look(reactor: &mut Reactor) -> usize {
    reactor.turn(Deadline::PASSED).unwrap().woken
}

/// Registered, with the first event (it can be written) already taken.
fn registered(reactor: &mut Reactor, stream: &UnixStream) -> Arc<Registration> {
    let registration = reactor.shared().register(stream.as_fd()).unwrap();
    look(reactor);
    registration
}

fn would_block(mut stream: &UnixStream) -> bool {
    matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn an_event_wakes_the_armed_waiter_of_its_direction_only() {
    let mut reactor = Reactor::new().unwrap();
    let (mut near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    let ((reader, read_waker), (writer, write_waker)) = (bell(), bell());

    while near.write(&[0; 65_536]).is_ok() {}
    let write_tick = registration.prepare(Direction::Write);
    let read_tick = registration.prepare(Direction::Read);
    assert!(would_block(&near));
    assert_eq!(
        registration.arm(Direction::Write, write_tick, &write_waker),
        Arm::Armed
    );
    assert_eq!(
        registration.arm(Direction::Read, read_tick, &read_waker),
        Arm::Armed
    );
    assert_eq!(reactor.shared().waiting(), 2);
    assert_eq!(look(&mut reactor), 0);

    far.write_all(b"hello").unwrap();
    reader.wait(&mut reactor, 1);
    assert_eq!(
        (reader.rung(), writer.rung()),
        (1, 0),
        "the buffer is still full"
    );
    assert_eq!(reactor.shared().waiting(), 1);
    registration.disarm(Direction::Read, read_tick);

    while matches!(far.read(&mut [0; 65_536]), Ok(1..)) {}
    writer.wait(&mut reactor, 1);
    assert_eq!((reader.rung(), writer.rung()), (1, 1));
    assert_eq!(reactor.shared().waiting(), 0);
}

#[test]
fn an_event_between_prepare_and_arm_is_not_lost() {
    let mut reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    let (bell, waker) = bell();
    let tick = registration.prepare(Direction::Read);
    assert!(would_block(&near));
    far.write_all(b"x").unwrap();
    look(&mut reactor);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Ready);
    assert_eq!((bell.rung(), reactor.shared().waiting()), (0, 0));
}

#[test]
fn arming_right_after_registering_needs_no_call() {
    let mut reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    far.write_all(b"x").unwrap();
    let registration = reactor.shared().register(near.as_fd()).unwrap();
    let (bell, waker) = bell();
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
    bell.wait(&mut reactor, 1);
}

#[test]
fn a_short_read_proves_drained_until_the_next_event() {
    let mut reactor = Reactor::new().unwrap();
    let (mut near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    let (bell, waker) = bell();
    for round in 1..100 {
        far.write_all(b"abc").unwrap();
        look(&mut reactor);
        let tick = registration.prepare(Direction::Read);
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);
        assert_eq!(registration.prepare(Direction::Read), tick);
        assert!(tick.proves_drained());
        // No call here.
        assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
        far.write_all(b"d").unwrap();
        bell.wait(&mut reactor, round);
        registration.disarm(Direction::Read, tick);
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 1);
    }
}

#[test]
fn a_short_read_before_the_end_proves_nothing() {
    let mut reactor = Reactor::new().unwrap();
    let (mut near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    far.write_all(b"last words").unwrap();
    drop(far);
    look(&mut reactor);
    let tick = registration.prepare(Direction::Read);
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 10);
    assert!(
        !tick.proves_drained(),
        "the end comes with no edge of its own"
    );
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn a_hang_up_wakes_both_directions() {
    let mut reactor = Reactor::new().unwrap();
    let (mut near, far) = pair();
    let registration = registered(&mut reactor, &near);
    while near.write(&[0; 65_536]).is_ok() {}
    let ((reader, read_waker), (writer, write_waker)) = (bell(), bell());
    let (read, write) = (
        registration.prepare(Direction::Read),
        registration.prepare(Direction::Write),
    );
    assert_eq!(
        registration.arm(Direction::Read, read, &read_waker),
        Arm::Armed
    );
    assert_eq!(
        registration.arm(Direction::Write, write, &write_waker),
        Arm::Armed
    );
    drop(far);
    reader.wait(&mut reactor, 1);
    writer.wait(&mut reactor, 1);
}

#[test]
fn a_second_waiter_is_busy_and_a_withdrawn_one_makes_room() {
    let mut reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    let ((first, first_waker), (second, second_waker)) = (bell(), bell());
    let tick = registration.prepare(Direction::Read);
    assert_eq!(
        registration.arm(Direction::Read, tick, &first_waker),
        Arm::Armed
    );
    assert_eq!(
        registration.arm(Direction::Read, tick, &first_waker),
        Arm::Armed,
        "itself"
    );
    assert_eq!(
        registration.arm(Direction::Read, tick, &second_waker),
        Arm::Busy
    );
    registration.disarm(Direction::Read, tick);
    assert_eq!(reactor.shared().waiting(), 0);
    assert_eq!(
        registration.arm(Direction::Read, tick, &second_waker),
        Arm::Armed
    );
    far.write_all(b"x").unwrap();
    second.wait(&mut reactor, 1);
    assert_eq!(first.rung(), 0);
    // The tick is old now: this must not take the next waiter away.
    let next = registration.prepare(Direction::Read);
    assert_eq!(
        registration.arm(Direction::Read, next, &first_waker),
        Arm::Armed
    );
    registration.disarm(Direction::Read, tick);
    assert_eq!(reactor.shared().waiting(), 1);
}

#[test]
fn closing_wakes_the_waiters_and_refuses_new_ones() {
    let mut reactor = Reactor::new().unwrap();
    let (near, _far) = pair();
    let registration = registered(&mut reactor, &near);
    let (bell, waker) = bell();
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
    registration.close();
    assert_eq!((bell.rung(), reactor.shared().waiting()), (1, 0));
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Closed);
    assert_eq!(
        reactor.shared().registered(),
        1,
        "until the descriptor goes"
    );
    registration.deregister(near.as_fd()).unwrap();
    registration.deregister(near.as_fd()).unwrap();
    assert_eq!(reactor.shared().registered(), 0);
    assert_eq!(Arc::strong_count(&registration), 1);
}

#[test]
fn a_registration_may_end_on_another_thread() {
    let mut reactor = Reactor::new().unwrap();
    let (near, _far) = pair();
    let registration = registered(&mut reactor, &near);
    let (bell, waker) = bell();
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
    let twin = Arc::clone(&registration);
    thread::spawn(move || twin.deregister(near.as_fd()).unwrap())
        .join()
        .unwrap();
    assert_eq!(bell.rung(), 1);
    assert_eq!(registration.standing(), Standing::Closed);
    assert_eq!(reactor.shared().registered(), 0);
}

#[test]
fn an_old_event_never_wakes_the_next_in_the_same_place() {
    let mut reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    let (next, _next_far) = pair();
    let first = registered(&mut reactor, &near);
    // The wrong descriptor on purpose: the place is freed, and the kernel keeps the old token, as
    // it does for events that were fetched before a descriptor was closed.
    assert!(first.deregister(next.as_fd()).is_err());
    let second = reactor.shared().register(next.as_fd()).unwrap();
    assert_ne!(first.token(), second.token());
    let place = u32::MAX as usize;
    assert_eq!(first.token() & place, second.token() & place);
    let (bell, waker) = bell();
    let tick = second.prepare(Direction::Read);
    assert_eq!(second.arm(Direction::Read, tick, &waker), Arm::Armed);
    far.write_all(b"x").unwrap();
    look(&mut reactor);
    look(&mut reactor);
    assert_eq!(bell.rung(), 0);
    assert_eq!(first.standing(), Standing::Closed);
}

#[test]
fn a_stopped_reactor_sends_its_waiters_elsewhere() {
    let mut reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    let registration = registered(&mut reactor, &near);
    let shared = Arc::clone(reactor.shared());
    let unparker = reactor.unparker();
    let (bell, waker) = bell();
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
    drop(reactor);
    assert_eq!(
        (bell.rung(), shared.waiting(), shared.registered()),
        (1, 0, 0)
    );
    let tick = registration.prepare(Direction::Read);
    assert_eq!(
        registration.arm(Direction::Read, tick, &waker),
        Arm::ReactorGone
    );
    let error = shared.register(near.as_fd()).unwrap_err();
    assert!(
        error
            .get_ref()
            .is_some_and(|inner| inner.is::<ReactorGone>())
    );
    registration.deregister(near.as_fd()).unwrap();
    unparker.unpark();

    let mut other = Reactor::new().unwrap();
    let registration = registered(&mut other, &near);
    assert_eq!((shared.registered(), other.shared().registered()), (0, 1));
    let tick = registration.prepare(Direction::Read);
    assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
    far.write_all(b"x").unwrap();
    bell.wait(&mut other, 2);
}

#[test]
fn an_unpark_before_the_sleep_ends_it_and_each_one_counts() {
    let mut reactor = Reactor::new().unwrap();
    let unparker = reactor.unparker();
    for _ in 0..3 {
        unparker.unpark();
        assert!(reactor.turn(Deadline::NEVER).unwrap().unparked);
        assert!(!reactor.turn(Deadline::PASSED).unwrap().unparked);
    }
    let start = Instant::now();
    let other = thread::spawn(move || {
        // real sleep: the reactor shall be asleep by then; if it is not, the test shows less.
        thread::sleep(Duration::from_millis(20));
        unparker.unpark();
    });
    while !reactor.turn(Deadline::NEVER).unwrap().unparked {}
    assert!(start.elapsed() >= Duration::from_millis(20));
    other.join().unwrap();
}

#[test]
fn fifty_microseconds_are_not_a_millisecond() {
    let mut reactor = Reactor::new().unwrap();
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let start = Instant::now();
        let until = Deadline::after(real_now(), Duration::from_micros(50));
        while !until.is_due(real_now()) {
            let _ = reactor.turn(until).unwrap();
        }
        assert!(start.elapsed() >= Duration::from_micros(50));
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(1), "{best:?}");
}

#[test]
fn a_later_deadline_after_an_earlier_one_is_kept() {
    let mut reactor = Reactor::new().unwrap();
    let unparker = reactor.unparker();
    let early = Deadline::after(real_now(), Duration::from_millis(5));
    unparker.unpark();
    let _ = reactor.turn(early).unwrap();
    // The alarm still stands at the early one: it may end a turn, not the whole sleep.
    let late = Deadline::after(real_now(), Duration::from_millis(30));
    let mut turns = 0;
    while !late.is_due(real_now()) {
        let _ = reactor.turn(late).unwrap();
        turns += 1;
    }
    assert!(turns <= 5, "{turns} turns");
    // And back to an earlier one, and to one that has passed.
    let far_off = Deadline::after(real_now(), Duration::from_secs(3600));
    unparker.unpark();
    let _ = reactor.turn(far_off).unwrap();
    let start = Instant::now();
    let near = Deadline::after(real_now(), Duration::from_millis(3));
    while !near.is_due(real_now()) {
        let _ = reactor.turn(near).unwrap();
    }
    let _ = reactor.turn(near).unwrap();
    assert!(start.elapsed() < SOON);
}

#[test]
fn two_registrations_of_one_descriptor_know_nothing_of_each_other() {
    let mut reactor = Reactor::new().unwrap();
    let (mut near, mut far) = pair();
    let one = registered(&mut reactor, &near);
    let other = registered(&mut reactor, &near);
    let ((ones, one_waker), (others, other_waker)) = (bell(), bell());
    let arm = |registration: &Registration, waker| {
        let tick = registration.prepare(Direction::Read);
        assert_eq!(registration.arm(Direction::Read, tick, waker), Arm::Armed);
    };
    arm(&one, &one_waker);
    arm(&other, &other_waker);
    far.write_all(b"x").unwrap();
    ones.wait(&mut reactor, 1);
    others.wait(&mut reactor, 1);
    near.read_exact(&mut [0]).unwrap();
    // Either may go first.
    let third = registered(&mut reactor, &near);
    one.deregister(near.as_fd()).unwrap();
    arm(&other, &other_waker);
    far.write_all(b"x").unwrap();
    others.wait(&mut reactor, 2);
    other.deregister(near.as_fd()).unwrap();
    near.read_exact(&mut [0]).unwrap();
    look(&mut reactor);
    arm(&third, &one_waker);
    far.write_all(b"x").unwrap();
    ones.wait(&mut reactor, 2);
    assert_eq!(others.rung(), 2);
    third.deregister(near.as_fd()).unwrap();
    assert_eq!(reactor.shared().registered(), 0);
}

#[test]
fn what_cannot_be_polled_is_refused() {
    let reactor = Reactor::new().unwrap();
    if cfg!(target_os = "linux") {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = reactor.shared().register(file.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}

/// In a process of its own, because the limit is the process's.
#[test]
fn a_lack_of_descriptors_is_named() {
    const ROLE: &str = "GREENLOOM_TEST_NO_DESCRIPTORS";
    if std::env::var_os(ROLE).is_none() {
        let name = "driver::reactor::tests::a_lack_of_descriptors_is_named";
        let child = std::process::Command::new("sh")
            .args(["-c", "exec $GREENLOOM_TEST_EMULATOR \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ROLE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let resource = rustix::process::Resource::Nofile;
    let maximum = rustix::process::getrlimit(resource).maximum;
    let limit = rustix::process::Rlimit {
        current: Some(64),
        maximum,
    };
    rustix::process::setrlimit(resource, limit).unwrap();
    let mut reactors = Vec::new();
    let error = loop {
        match Reactor::new() {
            Ok(reactor) => reactors.push(reactor),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("ulimit -n"), "{error}");
    let (count, full) = (reactors.len(), error);
    // What a failed attempt had opened is closed again.
    reactors.clear();
    reactors.extend((0..count).map(|_| Reactor::new().unwrap()));
    assert!(count > 8, "{count}: {full}");
}

/// One thread turns, another waits by the protocol with a thread's own parking: every byte that
/// the third one sends must arrive, however the three interleave.
#[test]
fn no_edge_is_lost_between_threads() {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    const BYTES: usize = 20_000;
    let mut reactor = Reactor::new().unwrap();
    let (near, far) = pair();
    let registration = reactor.shared().register(near.as_fd()).unwrap();
    let unparker = reactor.unparker();
    let sender = thread::spawn(move || {
        for byte in 0..BYTES {
            while matches!((&far).write(&[byte as u8]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            {
                thread::yield_now();
            }
            if byte % 3 == 0 {
                thread::yield_now();
            }
        }
        far
    });
    let reader = thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let (mut received, mut drained) = (0, None);
        while received < BYTES {
            let tick = registration.prepare(Direction::Read);
            if drained != Some(tick) || !tick.proves_drained() {
                let mut buffer = [0; 16];
                match (&near).read(&mut buffer) {
                    Ok(count) => {
                        assert!(count > 0);
                        for &byte in &buffer[..count] {
                            assert_eq!(byte, received as u8);
                            received += 1;
                        }
                        drained = (count < buffer.len()).then_some(tick);
                        continue;
                    }
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            match registration.arm(Direction::Read, tick, &waker) {
                Arm::Armed => {
                    let end = Instant::now() + SOON;
                    while registration.prepare(Direction::Read) == tick {
                        assert!(Instant::now() < end, "lost an edge");
                        thread::park_timeout(SOON);
                    }
                    registration.disarm(Direction::Read, tick);
                }
                Arm::Ready => {}
                answer => panic!("{answer:?}"),
            }
        }
        unparker.unpark();
        registration.deregister(near.as_fd()).unwrap();
    });
    while !reactor.turn(Deadline::NEVER).unwrap().unparked {}
    reader.join().unwrap();
    drop(sender.join().unwrap());
    assert_eq!(
        (reactor.shared().waiting(), reactor.shared().registered()),
        (0, 0)
    );
}

/// Run by hand: `cargo test --release reactor_speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn reactor_speed() {
    const ROUNDS: u32 = 200_000;
    let nanos = |start: Instant| start.elapsed().as_nanos() as f64 / f64::from(ROUNDS);

    let (mut near, mut far) = pair();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(256);
    let fd = near.as_raw_fd();
    let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
    let mut source = mio::unix::SourceFd(&fd);
    poll.registry()
        .register(&mut source, mio::Token(1), interest)
        .unwrap();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        far.write_all(b"x").unwrap();
        poll.poll(&mut events, None).unwrap();
        assert_eq!(events.iter().count(), 1);
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 1);
    }
    println!(
        "write, poll, short read by bare mio: {:.0} ns",
        nanos(start)
    );
    poll.registry().deregister(&mut source).unwrap();

    let mut reactor = Reactor::new().unwrap();
    let registration = registered(&mut reactor, &near);
    let (bell, waker) = bell();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let tick = registration.prepare(Direction::Read);
        assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
        far.write_all(b"x").unwrap();
        assert_eq!(reactor.turn(Deadline::NEVER).unwrap().woken, 1);
        registration.disarm(Direction::Read, tick);
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 1);
    }
    println!(
        "the same by reactor, arm and wake:   {:.0} ns",
        nanos(start)
    );
    assert_eq!(bell.rung(), ROUNDS as usize);

    let mut wakers = Vec::new();
    let event = Event {
        read: Some(Seen::Ready),
        write: Some(Seen::Ready),
    };
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let tick = registration.prepare(Direction::Read);
        assert_eq!(registration.arm(Direction::Read, tick, &waker), Arm::Armed);
        registration.report(event, &mut wakers);
        reactor.shared().wake_all(&mut wakers);
        registration.disarm(Direction::Read, tick);
    }
    println!(
        "prepare, arm, event, wake, disarm:   {:.0} ns",
        nanos(start)
    );

    let start = Instant::now();
    for _ in 0..ROUNDS {
        let clone = std::hint::black_box(waker.clone());
        clone.wake();
    }
    println!(
        "  of it cloning the waker, waking:   {:.0} ns",
        nanos(start)
    );

    let start = Instant::now();
    for _ in 0..ROUNDS {
        let _ = reactor.turn(Deadline::PASSED).unwrap();
    }
    println!(
        "a turn that finds nothing:           {:.0} ns",
        nanos(start)
    );

    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let start = Instant::now();
            let until = Deadline::after(real_now(), Duration::from_micros(50));
            while !until.is_due(real_now()) {
                let _ = reactor.turn(until).unwrap();
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "50 us take: {:?} (median), {:?} (worst of 200)",
        times[100], times[199]
    );
    let start = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(real_now());
    }
    println!("reading the clock: {:.0} ns", nanos(start));
}
