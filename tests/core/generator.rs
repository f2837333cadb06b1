//! Generators: PEP 255, 342 and 380 as CPython's test_generators and test_pep380 check them, written anew,
//! and what generator-rs' suite checks.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use greenloom::coroutine::{
    CloseError, Generator, ResumeError, SendError, State, ThrowError, Yielder, catch, scoped,
    suspend,
};

#[derive(Clone, Debug, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }
    fn take(&self) -> String {
        self.0.take().join(" ")
    }
    /// Logs when it is dropped.
    fn on_drop(&self, line: &'static str) -> OnDrop {
        OnDrop(self.clone(), line)
    }
}

struct OnDrop(Log, &'static str);
impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.push(self.1);
    }
}

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
        },
    }
}

// CPython test_generators: nothing runs before the first next; fused; the return value once.
#[test]
fn nothing_runs_before_the_first_next() {
    let log = Log::default();
    let inside = log.clone();
    let g = Generator::<u8>::new(move |y| {
        inside.push("began");
        y.suspend(1);
    });
    assert!(!g.has_started());
    assert_eq!(log.take(), "");
    assert_eq!(g.next(), Some(1));
    assert_eq!(log.take(), "began");
}

#[test]
fn the_end_is_the_end_and_the_result_comes_once() {
    let g = Generator::<u8, (), &str>::new(|y| {
        y.suspend(1);
        "result"
    });
    assert_eq!(g.take_return(), None);
    assert_eq!((g.next(), g.next(), g.next()), (Some(1), None, None));
    assert_eq!(g.take_return(), Some("result"));
    assert_eq!(g.take_return(), None);
    assert!(matches!(g.try_next(), Err(ResumeError::Finished(()))));
}

#[test]
fn try_next_hands_the_result_over() {
    let g = Generator::<u8, (), &str>::new(|_| "result");
    assert_eq!(g.try_next().unwrap(), State::Complete("result"));
    assert_eq!(g.take_return(), None);
}

#[test]
fn it_is_a_fused_iterator_by_value_and_by_reference() {
    let g = Generator::<u32>::new(|y| y.yield_all(1..=3));
    assert_eq!((&g).take(1).sum::<u32>(), 1);
    let mut rest = g.map(|n| n * 10);
    assert_eq!(
        (rest.next(), rest.next(), rest.next(), rest.next()),
        (Some(20), Some(30), None, None)
    );
}

// CPython: send(non-None) to a just-started generator is a TypeError, and it stays usable.
#[test]
fn send_before_the_start_gives_the_value_back() {
    let g = Generator::<String, String>::new(|y| {
        let got = y.suspend("ready".into());
        y.suspend(format!("got {got}"));
    });
    match g.send("early".into()) {
        Err(SendError::NotStarted(value)) => assert_eq!(value, "early"),
        other => panic!("{other:?}"),
    }
    assert_eq!(g.next().unwrap(), "ready");
    assert_eq!(
        g.send("later".into()).unwrap().yielded().unwrap(),
        "got later"
    );
    assert!(g.send("last".into()).unwrap().is_complete());
    let error = g.send("after".into()).unwrap_err();
    assert_eq!(error.to_string(), "generator already finished");
    assert_eq!(error.into_inner().unwrap(), "after");
}

// The text's program: next, send(1), send(2) gives 0 1 3.
#[test]
fn a_running_sum() {
    let g = Generator::<i32, i32>::new(|y| {
        let mut sum = 0;
        loop {
            sum += y.suspend(sum);
        }
    });
    assert_eq!(g.next(), Some(0));
    assert_eq!(g.send(1).unwrap().yielded(), Some(1));
    assert_eq!(g.send(2).unwrap().yielded(), Some(3));
}

// CPython: "generator already executing".
#[test]
fn every_call_from_inside_is_refused() {
    let g = Rc::new_cyclic(|me: &Weak<Generator<u8>>| {
        let me = me.clone();
        Generator::new(move |y| {
            let me = me.upgrade().unwrap();
            assert_eq!(panic_of(|| me.next()), "generator already executing");
            assert!(matches!(
                me.try_next(),
                Err(ResumeError::AlreadyRunning(()))
            ));
            assert!(matches!(me.send(()), Err(SendError::AlreadyRunning(()))));
            assert!(matches!(me.throw(5), Err(ThrowError::AlreadyRunning(5))));
            assert_eq!(me.close(), Err(CloseError::AlreadyRunning));
            assert_eq!(me.take_return(), None);
            assert!(me.has_started() && !me.is_finished());
            y.suspend(7);
        })
    });
    assert_eq!(g.next(), Some(7));
    assert_eq!(g.next(), None);
}

// CPython: throw at the yield, caught or not; into an unstarted and into a finished one.
#[test]
fn a_thrown_error_is_caught_by_its_type() {
    let g = Generator::<String>::new(|y| {
        let caught = catch::<u16, _>(|| y.suspend("first".into()));
        y.suspend(format!("{caught:?}"));
    });
    g.next();
    assert_eq!(g.throw(404_u16).unwrap().yielded().unwrap(), "Err(404)");
    assert_eq!(g.next(), None);
}

#[test]
fn a_thrown_error_that_is_let_through_comes_back_and_ends_it() {
    let log = Log::default();
    let inside = log.clone();
    let g = Generator::<u8>::new(move |y| {
        let _cleanup = inside.on_drop("cleanup");
        let _ = catch::<u16, _>(|| y.suspend(1));
    });
    g.next();
    match g.throw("not a number") {
        Err(ThrowError::Unhandled(text)) => assert_eq!(text, "not a number"),
        other => panic!("{other:?}"),
    }
    assert_eq!(log.take(), "cleanup");
    assert!(g.is_finished());
    assert!(matches!(g.throw(1), Err(ThrowError::Unhandled(1))));
}

#[test]
fn a_throw_before_the_start_means_that_it_never_runs() {
    let log = Log::default();
    let captured = log.on_drop("dropped");
    let g = Generator::<u8>::new(move |_| {
        drop(captured);
        unreachable!("thrown into before it began");
    });
    assert!(matches!(g.throw(1), Err(ThrowError::Unhandled(1))));
    assert_eq!(log.take(), "dropped");
    assert_eq!(g.next(), None);
}

#[test]
fn a_panic_while_a_thrown_error_is_handled_is_the_panic() {
    let g = Generator::<u8>::new(|y| {
        let _ = catch::<i32, _>(|| y.suspend(1));
        panic!("handler failed");
    });
    g.next();
    assert_eq!(panic_of(|| g.throw(1)), "handler failed");
}

#[test]
fn try_suspend_gets_throw_and_close_without_unwinding() {
    let g = Generator::<&str, (), u8>::new(|y| {
        let thrown = y.try_suspend("a").unwrap_err();
        assert!(!thrown.is_close() && thrown.is::<i32>());
        assert_eq!(thrown.downcast::<i32>().unwrap(), 5);
        let close = y.try_suspend("b").unwrap_err();
        assert!(close.is_close());
        42
    });
    assert_eq!(g.next(), Some("a"));
    assert_eq!(g.throw(5).unwrap().yielded(), Some("b"));
    assert_eq!(g.close(), Ok(Some(42)));
    assert_eq!(g.close(), Ok(None));
}

// CPython: close runs the cleanup; of an unstarted one nothing; twice is once; ignored is an error.
#[test]
fn close_runs_the_cleanup_once() {
    let log = Log::default();
    let inside = log.clone();
    let g = Generator::<u8>::new(move |y| {
        let _outer = inside.on_drop("outer");
        let _inner = inside.on_drop("inner");
        y.suspend(1);
    });
    g.next();
    assert_eq!(g.close(), Ok(None));
    assert_eq!(log.take(), "inner outer");
    assert_eq!(g.close(), Ok(None));
    assert_eq!(g.next(), None);
    assert!(matches!(g.send(()), Err(SendError::Finished(()))));
}

#[test]
fn close_of_an_unstarted_one_never_runs_it() {
    let g = Generator::<u8>::new(|_| unreachable!("closed before it began"));
    assert_eq!(g.close(), Ok(None));
    assert!(g.is_finished());
    assert_eq!(g.next(), None);
}

#[test]
fn a_yield_during_close_is_ignored_exit_and_can_be_resumed() {
    let g = Generator::<u8>::new(|y| {
        let _ = catch_unwind(AssertUnwindSafe(|| y.suspend(1)));
        y.suspend(2);
        y.suspend(3);
    });
    g.next();
    assert_eq!(g.close(), Err(CloseError::IgnoredExit));
    assert_eq!(g.next(), Some(3));
    assert_eq!(g.close(), Ok(None));
}

#[test]
fn a_destructor_that_yields_during_close_is_ignored_exit_and_ends_later() {
    struct Yields;
    impl Drop for Yields {
        fn drop(&mut self) {
            suspend::<(), u8>(9);
        }
    }
    let log = Log::default();
    let inside = log.clone();
    let g = Generator::<u8>::new(move |y| {
        let _last = inside.on_drop("last");
        let _yields = Yields;
        y.suspend(1);
    });
    g.next();
    assert_eq!(g.close(), Err(CloseError::IgnoredExit));
    assert_eq!(
        g.close(),
        Err(CloseError::IgnoredExit),
        "it cannot be told again"
    );
    assert!(matches!(g.throw(1), Err(ThrowError::Unwinding(1))));
    assert_eq!(
        g.next(),
        None,
        "the destructor returns, and the unwinding goes on to the root"
    );
    assert_eq!(log.take(), "last");
    assert!(g.is_finished());
}

#[test]
fn a_panic_during_close_comes_out_of_close() {
    let g = Generator::<u8>::new(|y| {
        let _ = catch_unwind(AssertUnwindSafe(|| y.suspend(1)));
        panic!("cleanup failed");
    });
    g.next();
    assert_eq!(panic_of(|| g.close()), "cleanup failed");
    assert_eq!(g.close(), Ok(None));
}

#[test]
fn drop_closes() {
    let log = Log::default();
    let inside = log.clone();
    let g = Generator::<u8>::new(move |y| {
        let _cleanup = inside.on_drop("cleanup");
        y.suspend(1);
    });
    g.next();
    drop(g);
    assert_eq!(log.take(), "cleanup");
}

// CPython test_pep380: delegation of next, send, throw, close; inner cleanup first; inner's result.
#[test]
fn yield_from_delegates_next_and_send() {
    let outer = Generator::<String, u32, u32>::new(|y| {
        let inner = Generator::<String, u32, u32>::new(|y| {
            let a = y.suspend("first".into());
            let b = y.suspend(format!("a={a}"));
            a + b
        });
        let sum = y.yield_from(&inner).unwrap();
        assert_eq!(y.yield_from(&inner), None, "it has ended");
        sum + y.suspend("own".into())
    });
    assert_eq!(outer.next().unwrap(), "first");
    assert_eq!(outer.send(1).unwrap().yielded().unwrap(), "a=1");
    assert_eq!(outer.send(2).unwrap().yielded().unwrap(), "own");
    assert_eq!(outer.send(4).unwrap().complete(), Some(7));
}

#[test]
fn yield_from_goes_on_with_a_started_one() {
    let inner = Generator::<u8>::new(|y| y.yield_all(0..4));
    inner.next();
    let outer = Generator::<u8>::new(move |y| {
        y.yield_from(&inner);
    });
    assert_eq!(outer.collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn yield_from_throws_into_the_inner_one_first() {
    let outer = Generator::<String>::new(|y| {
        let inner = Generator::<String>::new(|y| {
            let caught = catch::<i32, _>(|| y.suspend("one".into())).unwrap_err();
            y.suspend(format!("inner caught {caught}"));
        });
        let caught = catch::<&str, _>(|| y.yield_from(&inner)).unwrap_err();
        y.suspend(format!("outer caught {caught}"));
    });
    outer.next();
    assert_eq!(outer.throw(1).unwrap().yielded().unwrap(), "inner caught 1");
    assert_eq!(
        outer.throw("x").unwrap().yielded().unwrap(),
        "outer caught x"
    );
    assert_eq!(outer.next(), None);
}

#[test]
fn close_of_a_delegating_one_closes_the_inner_first() {
    let log = Log::default();
    let inside = log.clone();
    let outer = Generator::<u8>::new(move |y| {
        let _outer = inside.on_drop("outer");
        let innermost = inside.clone();
        let inner = Generator::<u8>::new(move |y| {
            let _inner = innermost.on_drop("inner");
            y.suspend(1);
        });
        y.yield_from(&inner);
    });
    outer.next();
    assert_eq!(outer.close(), Ok(None));
    assert_eq!(log.take(), "inner outer");
}

#[test]
fn an_inner_one_that_ignores_the_close_is_a_panic_of_the_outer() {
    let outer = Generator::<u8>::new(|y| {
        let inner = Generator::<u8>::new(|y| while y.try_suspend(1).is_err() {});
        y.yield_from(&inner);
    });
    outer.next();
    assert_eq!(panic_of(|| outer.close()), "generator ignored exit");
}

// CPython test_generators: recursive generators (its tree walk and queens), here to a depth.
#[test]
fn nested_a_hundred_deep() {
    fn nested(depth: u32) -> Generator<u32> {
        Generator::new(move |y| {
            if depth > 0 {
                for n in nested(depth - 1) {
                    y.suspend(n + 1);
                }
            }
            suspend::<(), u32>(0);
        })
    }
    let sum: u32 = nested(100).sum();
    assert_eq!(sum, (0..=100).sum());
}

#[test]
fn a_panic_goes_through_every_level_once() {
    fn nested(depth: u32) -> Generator<u32> {
        Generator::new(move |y| match depth {
            0 => panic!("at the bottom"),
            _ => y.yield_all(nested(depth - 1)),
        })
    }
    assert_eq!(panic_of(|| nested(20).next()), "at the bottom");
}

#[test]
fn dropping_the_outermost_of_many_unwinds_all() {
    fn nested(depth: u32, count: Rc<Cell<u32>>) -> Generator<u32> {
        struct Count(Rc<Cell<u32>>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        Generator::new(move |y| {
            let _count = Count(Rc::clone(&count));
            if depth == 0 {
                y.suspend(0);
            } else {
                y.yield_all(nested(depth - 1, count));
            }
        })
    }
    let count = Rc::default();
    let g = nested(50, Rc::clone(&count));
    assert_eq!(g.next(), Some(0));
    drop(g);
    assert_eq!(count.get(), 51);
}

#[test]
fn one_generator_serves_several_callers_in_turn() {
    let g = Rc::new(Generator::<u32>::new(|y| y.yield_all(0..)));
    let pull = |g: &Rc<Generator<u32>>| {
        let g = Rc::clone(g);
        Generator::<u32>::new(move |y| {
            while let Some(n) = g.next() {
                y.suspend(n);
            }
        })
    };
    let (a, b) = (pull(&g), pull(&g));
    let seen: Vec<_> = (0..3)
        .flat_map(|_| [a.next(), b.next()])
        .flatten()
        .collect();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn forgotten_generators_are_harmless() {
    for started in [false, true] {
        let g = Generator::<u8>::new(|y| y.suspend(1));
        if started {
            g.next();
        }
        std::mem::forget(g);
    }
}

// The borrowing form.

#[test]
fn a_scoped_generator_borrows_both_ways() {
    let words = vec!["a".to_string(), "bb".to_string()];
    let mut seen = 0;
    let lens: Vec<usize> = scoped(
        |y| {
            for word in &words {
                seen += 1;
                y.suspend(word.as_str());
            }
        },
        |g| g.map(str::len).collect(),
    );
    assert_eq!((lens, seen), (vec![1, 2], 2));
}

#[test]
fn a_scoped_generator_is_closed_at_the_end_of_its_scope() {
    let log = Log::default();
    let dropped = Cell::new(false);
    struct Sets<'a>(&'a Cell<bool>);
    impl Drop for Sets<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    scoped(
        |y: &Yielder<(), u8>| {
            let _sets = Sets(&dropped);
            y.suspend(1);
            log.push("unreached");
        },
        |g| assert_eq!(g.next(), Some(1)),
    );
    assert!(dropped.get());
    assert_eq!(log.take(), "");
}

#[test]
fn a_scoped_generator_is_closed_when_its_scope_panics() {
    let dropped = Cell::new(0);
    struct Counts<'a>(&'a Cell<u32>);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let text = panic_of(|| {
        scoped(
            |y: &Yielder<(), u8>| {
                let _counts = Counts(&dropped);
                y.suspend(1);
            },
            |g| {
                g.next();
                panic!("in the scope");
            },
        )
    });
    assert_eq!((text.as_str(), dropped.get()), ("in the scope", 1));
    scoped(|_: &Yielder<(), u8>| drop(Counts(&dropped)), |_| ());
    assert_eq!(dropped.get(), 1, "one that was never started never runs");
}

#[test]
fn a_scoped_generator_refuses_the_ambient_suspend() {
    let text = panic_of(|| scoped(|_: &Yielder<(), u8>| suspend::<(), u8>(1), |g| g.next()));
    assert!(text.contains("yielder"), "{text}");
}

#[test]
fn scoped_generators_nest_and_use_each_others_yielders() {
    let base = 10;
    let all: Vec<u32> = scoped(
        |outer: &Yielder<(), u32>| {
            scoped(
                |inner: &Yielder<(), u32>| {
                    outer.suspend(base + 1);
                    inner.suspend(2);
                    outer.suspend(base + 3);
                },
                |g| outer.yield_all(g),
            )
        },
        |g| g.collect(),
    );
    assert_eq!(all, [11, 2, 13]);
}
