//! corosensei bare: the switch that greenloom stands on, with the least loop around it that does the
//! job. A floor for stackful runtimes, not a runtime.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot};
use crate::child::span::yields_each;

const STACK: usize = 32 * 1024;
/// Two mappings a stack, and Linux allows 65,530 of them in a process.
const MOST: usize = 30_000;

fn stack() -> DefaultStack {
    DefaultStack::new(STACK).expect("a stack")
}

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
            // Stacks are used again, as a runtime would.
            let mut free: Vec<_> = (0..BATCH).map(|_| stack()).collect();
            task.rounds(|| create_and_finish(&mut free));
        }
        What::Generator => task.rounds(items),
        What::Switch => task.rounds(switch),
        _ => return cannot("bare coroutines have nothing to wait for"),
    }
    Ok(())
}

/// A queue of coroutines, the front one resumed and put to the back.
fn yields(tasks: usize) -> Round {
    let each = yields_each(tasks);
    let mut queue: VecDeque<Coroutine<(), (), (), DefaultStack>> = (0..tasks)
        .map(|_| {
            Coroutine::with_stack(stack(), move |yielder, ()| {
                for _ in 0..each {
                    yielder.suspend(());
                }
            })
        })
        .collect();
    // The first resume only starts each of them.
    for coroutine in &mut queue {
        coroutine.resume(());
    }
    Round::timed(tasks * each, || {
        while let Some(mut coroutine) = queue.pop_front() {
            if let CoroutineResult::Yield(()) = coroutine.resume(()) {
                queue.push_back(coroutine);
            }
        }
    })
}

const BATCH: usize = 1_000;

fn create_and_finish(free: &mut Vec<DefaultStack>) -> Round {
    const BATCHES: usize = 50;
    Round::timed(BATCHES * BATCH, || {
        for _ in 0..BATCHES {
            let coroutines: Vec<Coroutine<(), (), usize, DefaultStack>> = (0..BATCH)
                .map(|n| {
                    let stack = free.pop().expect("as many as a batch has");
                    Coroutine::with_stack(stack, move |_, ()| black_box(n))
                })
                .collect();
            let mut sum = 0;
            for mut coroutine in coroutines {
                sum += coroutine.resume(()).as_return().expect("it ends at once");
                free.push(coroutine.into_stack());
            }
            assert_eq!(sum, BATCH * (BATCH - 1) / 2);
        }
    })
}

fn items() -> Round {
    const ITEMS: u64 = 1_000_000;
    let mut coroutine: Coroutine<(), u64, (), _> = Coroutine::with_stack(stack(), |yielder, ()| {
        for n in 0..ITEMS {
            yielder.suspend(n);
        }
    });
    let began = Instant::now();
    let mut sum = 0;
    while let CoroutineResult::Yield(n) = coroutine.resume(()) {
        sum += n;
    }
    let round = Round::since(began, ITEMS as usize);
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
    round
}

fn switch() -> Round {
    const PAIRS: usize = 300_000;
    let mut echo: Coroutine<usize, usize, (), _> = Coroutine::with_stack(stack(), |yielder, n| {
        let mut n: usize = n;
        while n < PAIRS {
            n = yielder.suspend(n + 1);
        }
    });
    Round::timed(PAIRS, || {
        let mut n = 0;
        while let CoroutineResult::Yield(next) = echo.resume(black_box(n)) {
            n = next;
        }
        assert_eq!(n, PAIRS);
    })
}
