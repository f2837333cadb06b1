//! The `generator` crate: the coroutines that may stands on.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use generator::{Gn, LocalGenerator};

use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot};
use crate::child::span::yields_each;

/// Two mappings a stack, and Linux allows 65,530 of them in a process.
const MOST: usize = 30_000;

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    if task.workers > 1 {
        return cannot("coroutines know no threads");
    }
    let size = task.size;
    match task.what {
        What::Yield if size > MOST => {
            return cannot("its stacks take two mappings each: vm.max_map_count");
        }
        What::Yield => task.rounds(|| yields(size)),
        What::SpawnJoin => {
            let mut free = Vec::new();
            task.rounds(|| create_and_finish(&mut free));
        }
        What::Generator => task.rounds(items),
        What::Switch => task.rounds(switch),
        _ => return cannot("bare coroutines have nothing to wait for"),
    }
    Ok(())
}

fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let mut queue: VecDeque<LocalGenerator<'static, (), ()>> = (0..tasks)
        .map(|_| {
            Gn::new_scoped_local(move |mut scope| {
                for _ in 0..each {
                    scope.yield_with(());
                }
            })
        })
        .collect();
    for generator in &mut queue {
        generator.resume();
    }
    Round::timed(tasks * each, || {
        while let Some(mut generator) = queue.pop_front() {
            generator.resume();
            if !generator.is_done() {
                queue.push_back(generator);
            }
        }
    })
}

/// Finished generators are used again, as the crate offers it.
fn create_and_finish(free: &mut Vec<LocalGenerator<'static, (), usize>>) -> Round {
    const BATCHES: usize = 20;
    const BATCH: usize = 1_000;
    Round::timed(BATCHES * BATCH, || {
        for _ in 0..BATCHES {
            let generators: Vec<_> = (0..BATCH)
                .map(|n| match free.pop() {
                    Some(mut generator) => {
                        generator.scoped_init(move |_| black_box(n));
                        generator
                    }
                    None => Gn::new_scoped_local(move |_| black_box(n)),
                })
                .collect();
            let mut sum = 0;
            for mut generator in generators {
                sum += generator.resume().expect("it ends at once");
                free.push(generator);
            }
            assert_eq!(sum, BATCH * (BATCH - 1) / 2);
        }
    })
}

fn items() -> Round {
    const ITEMS: u64 = 1_000_000;
    // The last item is the closure's value, so that no unwinding ends it.
    let generator: LocalGenerator<'static, (), u64> = Gn::new_scoped_local(|mut scope| {
        for n in 0..ITEMS - 1 {
            scope.yield_with(n);
        }
        ITEMS - 1
    });
    let began = Instant::now();
    let sum: u64 = generator.sum();
    let round = Round::since(began, ITEMS as usize);
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
    round
}

fn switch() -> Round {
    const PAIRS: usize = 300_000;
    let mut echo: LocalGenerator<'static, usize, usize> = Gn::new_scoped_local(|mut scope| {
        // The last number is the closure's value, so that no unwinding ends it.
        let mut n = 0;
        while n < PAIRS {
            // `yield_` does both, but only for closures that live for ever.
            scope.yield_with(n);
            n = scope.get_yield().expect("a number comes with each resume") + 1;
        }
        n
    });
    // Starts it: what is sent first has no yield to come out of.
    echo.resume();
    Round::timed(PAIRS, || {
        let mut n = 0;
        while n < PAIRS {
            n = echo.send(black_box(n));
        }
    })
}
