//! Running out of what stacks are made of is an error that names the limit; counts end at zero.

use std::io;

use greenloom::stack::bare::{self, Held};
use greenloom::stack::{GuardKind, StackSize, stats, trim};

use crate::child::{self, Child};

fn hold_all(size: StackSize) -> (Vec<Held>, io::Error) {
    let mut held = Vec::with_capacity(100_000);
    loop {
        match Held::acquire(size) {
            Ok(stack) => held.push(stack),
            Err(error) => return (held, error),
        }
    }
}

#[test]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's shadow does not fit into the limit"
)]
fn address_space_that_runs_out_is_an_error_that_names_it() {
    if child::is_emulated() {
        return;
    }
    let outcome = Child::default().limit("ulimit -v 1000000").run(|| {
        let (mut held, error) = hold_all(StackSize::DEFAULT);
        println!("{} stacks; {:?}; {error}", held.len(), error.kind());
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("RLIMIT_AS"), "{error}");
        assert!(error.to_string().contains("1000000 KiB"), "{error}");
        // Nearly all of it went to stacks, and some was left to the heap.
        assert!(held.len() > 3_000, "{}", held.len());
        std::hint::black_box(vec![1_u8; 500_000]);
        // One that comes back can be used again, and so can the last.
        held.pop();
        held.push(Held::acquire(StackSize::DEFAULT).expect("the stack that was dropped"));
        for stack in held {
            bare::run(stack, "", || ());
        }
        Held::acquire(StackSize::DEFAULT).expect("a stack");
        assert_eq!(stats().live, 0);
    });
    outcome.assert_success();
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer's shadow does not fit into the limit"
)]
fn private_memory_that_runs_out_is_an_error_that_names_it() {
    if child::is_emulated() {
        return;
    }
    let outcome = Child::default().limit("ulimit -d 200000").run(|| {
        let (held, error) = hold_all(StackSize::DEFAULT);
        assert!(error.to_string().contains("RLIMIT_DATA"), "{error}");
        assert!(held.len() > 500, "{}", held.len());
    });
    outcome.assert_success();
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer needs mappings of its own"
)]
fn mappings_that_run_out_are_an_error_that_names_them() {
    let outcome = Child::default().env("GREENLOOM_GUARD", "mprotect").run(|| {
        let limit: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .map_or(65_530, |text| text.trim().parse().expect("a number"));
        if limit > 300_000 {
            return println!("skipped: vm.max_map_count is {limit}");
        }
        let (held, error) = hold_all(StackSize::new(1).expect("a size"));
        println!("{} stacks; {error}", held.len());
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert!(error.to_string().contains(&limit.to_string()), "{error}");
        assert!(held.len() * 2 + 2_000 > limit, "{}", held.len());
        // Threads and large allocations still find a mapping.
        std::thread::spawn(|| std::hint::black_box(vec![1_u8; 1 << 20]))
            .join()
            .expect("a thread");
        drop(held);
        assert_eq!(stats().live, 0);
    });
    outcome.assert_success();
}

#[test]
fn every_stack_comes_back_from_every_thread() {
    let outcome = child::run(|| {
        assert_eq!((stats().live, stats().cached, stats().regions), (0, 0, 0));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                std::thread::spawn(move || {
                    let size = StackSize::new(number * 40_000 + 1).expect("a size");
                    let held: Vec<Held> = (0..700)
                        .map(|_| Held::acquire(size).expect("a stack"))
                        .collect();
                    assert!(stats().live >= 700);
                    held.into_iter()
                        .map(|held| bare::run(held, "", || ()).1)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        // Taken by one thread, given back by another.
        let held: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .collect();
        assert_eq!(stats().live, 2_800);
        drop(held);
        assert_eq!(stats().live, 0);
        assert!(stats().cached >= 2_800);
        trim();
        trim();
        trim();
        assert_eq!(stats().live, 0);
        let first = Held::acquire(StackSize::DEFAULT).expect("a stack");
        assert_eq!(stats().live, 1);
        drop(first);
        assert_eq!(stats().live, 0);
    });
    outcome.assert_success();
}

#[cfg(target_os = "linux")]
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .expect("a figure")
        .parse()
        .expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(any(gl_asan, gl_tsan), ignore = "counts the sanitizer's memory")]
fn memory_of_a_burst_is_given_back() {
    let outcome = child::run(|| {
        let before = resident_kib();
        let held: Vec<Held> = (0..2_000)
            .map(|_| Held::acquire(StackSize::DEFAULT).expect("a stack"))
            .collect();
        let held: Vec<Held> = held
            .into_iter()
            .map(|held| {
                bare::run(held, "", || {
                    std::hint::black_box([1_u8; 50_000]);
                })
                .1
            })
            .collect();
        drop(held);
        let burst = resident_kib() - before;
        // A bounded amount of work each time.
        for _ in 0..12 {
            trim();
        }
        let after = resident_kib().saturating_sub(before);
        println!("{burst} KiB after the burst, {after} KiB trimmed");
        assert!(burst > 2_000 * 50, "{burst}");
        assert!(after < burst / 20, "{after}");
    });
    outcome.assert_success();
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(
    any(gl_asan, gl_tsan),
    ignore = "the sanitizer adds mappings of its own"
)]
fn a_hundred_thousand_stacks_take_a_few_mappings() {
    let outcome = child::run(|| {
        if stats().guard == GuardKind::Mprotect {
            return println!("skipped: this kernel has no guard markers");
        }
        let size = StackSize::new(1).expect("a size");
        let held: Vec<Held> = (0..100_000)
            .map(|_| Held::acquire(size).expect("a stack"))
            .collect();
        let maps = std::fs::read_to_string("/proc/self/maps")
            .expect("maps")
            .lines()
            .count();
        println!("{} stacks, {maps} mappings, {:?}", held.len(), stats());
        assert!(maps < 150, "{maps}");
    });
    outcome.assert_success();
}
