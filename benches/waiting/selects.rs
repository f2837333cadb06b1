//! Selects over four channels.

use std::hint::black_box;

use greenloom::{channel, select, spawn};

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::sample::{ns_each, sample};

const ITEMS: usize = 100_000;

/// One of four channels has values, and all of them.
pub(crate) fn four_with_one_ready() -> Vec<Figure> {
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let ends: [_; 4] = std::array::from_fn(|_| channel::unbounded());
            (0..ITEMS).for_each(|n| ends[2].0.send(n).expect("its receiver lives"));
            let [(_, a), (_, b), (_, c), (_, d)] = &ends;
            ns_each(ITEMS, || {
                for n in 0..ITEMS {
                    let item = select! {
                        recv(a) -> item => item,
                        recv(b) -> item => item,
                        recv(c) -> item => item,
                        recv(d) -> item => item,
                    };
                    assert_eq!(black_box(item), Ok(n));
                }
            })
        })
    });
    let ours = Figure::new("select_4_ready/greenloom", "ns", &samples, 60.0);
    let samples = sample(|| {
        let ends: [_; 4] = std::array::from_fn(|_| crossbeam_channel::unbounded());
        (0..ITEMS).for_each(|n| ends[2].0.send(n).expect("its receiver lives"));
        let [(_, a), (_, b), (_, c), (_, d)] = &ends;
        ns_each(ITEMS, || {
            for n in 0..ITEMS {
                let item = crossbeam_channel::select! {
                    recv(a) -> item => item,
                    recv(b) -> item => item,
                    recv(c) -> item => item,
                    recv(d) -> item => item,
                };
                assert_eq!(black_box(item), Ok(n));
            }
        })
    });
    vec![
        ours,
        Figure::new("select_4_ready/crossbeam", "ns", &samples, None),
    ]
}

/// Each value is waited for at four channels, and sent by another task.
pub(crate) fn four_waiting() -> Vec<Figure> {
    let runtime = one_worker();
    let samples = sample(|| {
        runtime.block_on(|| {
            let ends: [_; 4] = std::array::from_fn(|_| channel::rendezvous());
            let senders = ends.each_ref().map(|(sender, _)| sender.clone());
            spawn(move || {
                for n in 0..ITEMS {
                    senders[n % 4].send(n).expect("its receiver lives");
                }
            });
            let [(_, a), (_, b), (_, c), (_, d)] = &ends;
            ns_each(ITEMS, || {
                for n in 0..ITEMS {
                    let item = select! {
                        recv(a) -> item => item,
                        recv(b) -> item => item,
                        recv(c) -> item => item,
                        recv(d) -> item => item,
                    };
                    assert_eq!(black_box(item), Ok(n));
                }
            })
        })
    });
    vec![Figure::new(
        "select_4_waiting/greenloom",
        "ns",
        &samples,
        None,
    )]
}
