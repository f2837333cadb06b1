//! Run with `cargo run --example generators`: `0 1 3`, then 0 to 4 produced and consumed, then `a1 b1 c1 a2 ...`.
//!
//! A generator that is sent values; a producer and a consumer that share a list; and three generators
//! that a loop runs in turn, which is a scheduler in four lines. `--real` waits a second at each item
//! of the producer, a tenth of it otherwise.

#[path = "words/say.rs"]
mod say;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::coroutine::Generator;

/// Yields the sum so far and adds what it is sent.
fn sum(init: i32) -> Generator<i32, i32> {
    Generator::new(move |y| {
        let mut sum = init;
        loop {
            sum += y.suspend(sum);
        }
    })
}

/// Puts a number on the list, then yields; five times.
fn producer(list: Rc<RefCell<Vec<u32>>>, pause: Duration) -> Generator<u32> {
    Generator::new(move |y| {
        for i in 0..5 {
            list.borrow_mut().push(i);
            y.suspend(i);
            sleep(pause);
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "no runtime: there is only this thread"
)]
fn sleep(pause: Duration) {
    thread::sleep(pause); // real sleep: the producer is slow, as in the text
}

/// Takes all that is on the list after each step of the producer, until that ends.
fn consume(list: &RefCell<Vec<u32>>, steps: Generator<u32>) -> Vec<u32> {
    let mut consumed = Vec::new();
    for _ in steps {
        consumed.extend(list.borrow_mut().drain(..).inspect(|i| say::line(*i)));
    }
    consumed
}

/// Runs each generator to its next yield, in turn, until all have ended.
fn round_robin(generators: impl IntoIterator<Item = Generator<String>>) -> Vec<String> {
    let mut ready: VecDeque<_> = generators.into_iter().collect();
    let mut seen = Vec::new();
    while let Some(generator) = ready.pop_front() {
        if let Some(step) = generator.next() {
            seen.push(step);
            ready.push_back(generator);
        }
    }
    seen
}

fn letters(letter: char) -> Generator<String> {
    Generator::new(move |y| y.yield_all((1..=3).map(|n| format!("{letter}{n}"))))
}

fn main() -> ExitCode {
    say::end("generators", work())
}

fn work() -> ExitCode {
    let mut pause = Duration::from_millis(100);
    for word in std::env::args().skip(1) {
        if word != "--real" {
            eprintln!("usage: generators [--real]; what is `{word}`?");
            return ExitCode::from(2);
        }
        pause = Duration::from_secs(1);
    }

    let total = sum(0);
    let sums = [
        total.next(),
        total.send(1).ok().and_then(|state| state.yielded()),
        total.send(2).ok().and_then(|state| state.yielded()),
    ]
    .map(|sum| sum.map_or("?".into(), |sum| sum.to_string()))
    .join(" ");
    say::line(&sums);

    let list = Rc::default();
    let consumed = consume(&list, producer(Rc::clone(&list), pause));

    let order = round_robin(['a', 'b', 'c'].map(letters)).join(" ");
    say::line(&order);

    let as_claimed =
        sums == "0 1 3" && consumed == [0, 1, 2, 3, 4] && order == "a1 b1 c1 a2 b2 c2 a3 b3 c3";
    if as_claimed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
