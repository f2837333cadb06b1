//! Channels: a round trip, a stream of items, a ring.

use std::hint::black_box;
use std::thread;

use greenloom::channel::{self, Receiver, Sender};
use greenloom::{spawn, yield_now};

use crate::util::figure::Figure;
use crate::util::sample::{ns_each, sample};
use crate::util::{one_worker, workers};

/// To and fro over two channels; by capacity 1 and by rendezvous.
pub(crate) fn round_trips(count: usize) -> Vec<Figure> {
    let bar = if count == 1 { 90.0 } else { 150.0 };
    let suffix = if count == 1 { "" } else { "_2w" };
    let mut figures = vec![
        round_trip(&format!("round_trip{suffix}/capacity_1"), count, 1, bar),
        round_trip(&format!("round_trip{suffix}/rendezvous"), count, 0, bar),
    ];
    if count > 1 {
        let samples = sample(|| {
            const TRIPS: usize = 20_000;
            let (there, their_end) = crossbeam_channel::bounded(1);
            let (back, our_end) = crossbeam_channel::bounded(1);
            let echo = thread::spawn(move || {
                for item in their_end {
                    back.send(item).expect("it is waited for");
                }
            });
            let ns = ns_each(TRIPS, || {
                for n in 0..TRIPS {
                    there.send(n).expect("the other one lives");
                    assert_eq!(our_end.recv(), Ok(n));
                }
            });
            drop(there);
            echo.join().expect("it only echoes");
            ns
        });
        figures.push(Figure::new("round_trip/crossbeam", "ns", &samples, None));
    }
    figures
}

fn round_trip(name: &str, count: usize, capacity: usize, bar: f64) -> Figure {
    const TRIPS: usize = 200_000;
    let runtime = workers(count);
    let samples = sample(|| {
        runtime.block_on(move || {
            let (there, their_end) = channel::bounded(capacity);
            let (back, our_end) = channel::bounded(capacity);
            let echo = spawn(move || {
                for item in their_end {
                    back.send(item).expect("it is waited for");
                }
            });
            // A task of its own: the runtime's other worker may take both or one.
            let ns = spawn(move || {
                ns_each(TRIPS, || {
                    for n in 0..TRIPS {
                        there.send(n).expect("the other one lives");
                        assert_eq!(our_end.recv(), Ok(n));
                    }
                })
            });
            let ns = ns.join().expect("a time");
            echo.join().expect("it only echoes");
            ns
        })
    });
    Figure::new(name, "ns", &samples, bar)
}

fn produce(sender: &Sender<usize>, items: usize) {
    for n in 0..items {
        sender.send(n).expect("the consumer lives");
    }
}

fn consume(receiver: &Receiver<usize>) -> usize {
    receiver
        .iter()
        .map(|n| usize::from(black_box(n) < usize::MAX))
        .sum()
}

/// Items through a channel of a thousand.
pub(crate) fn bounded(count: usize, producers: usize, bar: f64) -> Vec<Figure> {
    const ITEMS: usize = 2_000_000;
    const CAPACITY: usize = 1_000;
    let suffix = if count == 1 { "" } else { "_2w" };
    let name = format!("bounded_{producers}p1c{suffix}");
    let runtime = workers(count);
    let samples = sample(|| {
        runtime.block_on(move || {
            ns_each(ITEMS, || {
                let (sender, receiver) = channel::bounded(CAPACITY);
                for _ in 0..producers {
                    let sender = sender.clone();
                    spawn(move || produce(&sender, ITEMS / producers));
                }
                drop(sender);
                let consumer = spawn(move || consume(&receiver));
                assert_eq!(consumer.join().expect("a count"), ITEMS);
            })
        })
    });
    let mut figures = vec![Figure::new(
        &format!("{name}/greenloom"),
        "ns",
        &samples,
        bar,
    )];
    let samples = sample(|| {
        ns_each(ITEMS, || {
            let (sender, receiver) = std::sync::mpsc::sync_channel(CAPACITY);
            for _ in 0..producers {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..ITEMS / producers {
                        sender.send(n).expect("the consumer lives");
                    }
                });
            }
            drop(sender);
            assert_eq!(receiver.iter().count(), ITEMS);
        })
    });
    figures.push(Figure::new(&format!("{name}/std"), "ns", &samples, None));
    figures
}

/// Items through a channel that takes all.
pub(crate) fn unbounded() -> Vec<Figure> {
    const ITEMS: usize = 1_000_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            ns_each(ITEMS, || {
                let (sender, receiver) = channel::unbounded();
                spawn(move || produce(&sender, ITEMS));
                let consumer = spawn(move || consume(&receiver));
                assert_eq!(consumer.join().expect("a count"), ITEMS);
            })
        })
    });
    vec![Figure::new("unbounded/greenloom", "ns", &samples, 20.0)]
}

/// A number goes round through 503 tasks, each of which waits for it.
pub(crate) fn ring() -> Vec<Figure> {
    const TASKS: usize = 503;
    const PASSES: usize = 500_000;
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let (mut senders, receivers): (Vec<_>, Vec<_>) =
                (0..TASKS).map(|_| channel::bounded(1)).unzip();
            let first = senders[0].clone();
            senders.rotate_left(1);
            let (done, all_done) = channel::bounded(1);
            for (sender, receiver) in senders.into_iter().zip(receivers) {
                let done = done.clone();
                spawn(move || {
                    for left in receiver {
                        if left == 0 {
                            done.send(()).expect("it is waited for");
                            break;
                        }
                        if sender.send(left - 1).is_err() {
                            break;
                        }
                    }
                });
            }
            // All of them wait.
            yield_now();
            ns_each(PASSES, || {
                first.send(PASSES).expect("the ring is closed");
                all_done.recv().expect("the last pass is told of");
            })
        })
    });
    vec![Figure::new("ring_503/greenloom", "ns", &samples, 50.0)]
}
