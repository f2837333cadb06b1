//! Greenlets: what python-greenlet's test_greenlet, test_throw, test_tracing and test_generator_nested
//! check, written anew, and the family rules of our own.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use greenloom::coroutine::{
    Coroutine, Generator, Greenlet, GreenletExit, ParentError, State, SwitchError, TraceKind,
    Value, catch, suspend,
};

fn parent() -> Greenlet {
    Greenlet::current().parent().expect("inside a greenlet")
}

/// Switches to the parent with `value`.
fn up<T: std::any::Any>(value: T) -> Value {
    parent().switch(value).unwrap()
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

// test_greenlet: test_simple, test_simple2, test_parent_equals_None.
#[test]
fn control_goes_there_and_back() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let g = Greenlet::new(move |(): ()| {
        log.borrow_mut().push(1);
        up(());
        log.borrow_mut().push(3);
    });
    order.borrow_mut().push(0);
    assert!(!g.has_started());
    g.switch(()).unwrap();
    assert!(g.has_started() && !g.is_dead());
    order.borrow_mut().push(2);
    g.switch(()).unwrap();
    order.borrow_mut().push(4);
    assert!(g.is_dead());
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
}

// The classic: 12, 56, 34, never 78.
#[test]
fn two_switch_to_each_other_and_the_rest_is_never_run() {
    let out = Rc::new(RefCell::new(Vec::new()));
    let second: Rc<RefCell<Option<Greenlet>>> = Rc::default();
    let (log, other) = (Rc::clone(&out), Rc::clone(&second));
    let first = Greenlet::new(move |(): ()| {
        log.borrow_mut().push(12);
        let other = other.borrow().clone().unwrap();
        other.switch(()).unwrap();
        log.borrow_mut().push(34);
    });
    let (log, back) = (Rc::clone(&out), first.clone());
    *second.borrow_mut() = Some(Greenlet::new(move |(): ()| {
        log.borrow_mut().push(56);
        back.switch(()).unwrap();
        log.borrow_mut().push(78);
    }));
    first.switch(()).unwrap();
    assert_eq!(*out.borrow(), [12, 56, 34]);
    assert!(first.is_dead());
    second.borrow_mut().take();
}

#[test]
fn the_root_is_current_outside_and_has_no_parent() {
    let root = Greenlet::current();
    assert_eq!(root, Greenlet::current());
    assert!(root.parent().is_none() && root.has_started() && !root.is_dead());
    assert_eq!(root.set_parent(&root), Err(ParentError::Root));
    let (inside, outside) = (root.clone(), root.clone());
    Greenlet::new(move |(): ()| {
        assert_eq!(parent(), inside);
        assert_ne!(Greenlet::current(), inside);
    })
    .switch(())
    .unwrap();
    assert_eq!(Greenlet::current(), outside);
}

// test_greenlet: a switch to oneself returns the value at once.
#[test]
fn a_switch_to_oneself_returns_the_value() {
    assert_eq!(Greenlet::current().switch(7).unwrap().get::<i32>(), 7);
    let g = Greenlet::new(|(): ()| Greenlet::current().switch("me").unwrap().get::<&str>());
    assert_eq!(g.switch(()).unwrap().get::<&str>(), "me");
}

#[test]
fn a_throw_to_oneself_is_raised_here() {
    let caught = catch::<u8, _>(|| Greenlet::current().throw(5_u8));
    assert_eq!(caught.unwrap_err(), 5);
}

// test_greenlet: a dead one passes what it gets to its parent.
#[test]
fn a_switch_to_a_dead_one_goes_to_its_parent() {
    let g = Greenlet::new(|n: i32| n + 1);
    assert_eq!(g.switch(1).unwrap().get::<i32>(), 2);
    assert_eq!(g.switch(41).unwrap().get::<i32>(), 41);
    assert!(g.throw(GreenletExit).unwrap().is::<GreenletExit>());
    assert_eq!(catch::<u8, _>(|| g.throw(3_u8)).unwrap_err(), 3);
}

// test_greenlet: test_exception.
#[test]
fn a_panic_is_raised_in_the_parent() {
    let g = Greenlet::new(|(): ()| panic!("child failed"));
    assert_eq!(panic_of(|| g.switch(())), "child failed");
    assert!(g.is_dead());
}

#[test]
fn a_death_goes_past_dead_parents() {
    let outer = Greenlet::new(|(): ()| {
        let inner = Greenlet::new(|(): ()| {
            up("suspended");
            "from the inner one"
        });
        inner.switch(()).unwrap();
        inner
    });
    let inner: Greenlet = outer.switch(()).unwrap().get();
    assert!(outer.is_dead());
    assert_eq!(inner.parent().unwrap(), outer);
    assert_eq!(
        inner.switch(()).unwrap().get::<&str>(),
        "from the inner one"
    );
}

// An unstarted parent is started with the value.
#[test]
fn a_death_starts_a_parent_that_has_not_begun() {
    let mother = Greenlet::new(|n: i32| n * 2);
    let child = Greenlet::new(|n: i32| n + 1);
    child.set_parent(&mother).unwrap();
    assert_eq!(child.switch(4).unwrap().get::<i32>(), 10);
    assert!(mother.is_dead() && child.is_dead());
}

// test_throw: test_class, test_val, test_kill, test_throw_goes_to_original_parent.
#[test]
fn a_thrown_error_is_raised_at_the_pending_switch() {
    let g = Greenlet::new(|(): ()| match catch::<u8, _>(|| up("ready")) {
        Err(code) => up(format!("caught {code}")).get::<i32>() + 1,
        Ok(_) => 0,
    });
    assert_eq!(g.switch(()).unwrap().get::<&str>(), "ready");
    assert_eq!(g.throw(9_u8).unwrap().get::<String>(), "caught 9");
    assert_eq!(g.switch(1).unwrap().get::<i32>(), 2);
}

#[test]
fn an_uncaught_error_ends_it_and_is_raised_in_the_parent() {
    let g = Greenlet::new(|(): ()| drop(up(())));
    g.switch(()).unwrap();
    assert_eq!(catch::<&str, _>(|| g.throw("oops")).unwrap_err(), "oops");
    assert!(g.is_dead());
}

#[test]
fn an_exit_is_returned_and_not_raised() {
    let cleaned = Rc::new(Cell::new(false));
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let sets = Sets(Rc::clone(&cleaned));
    let g = Greenlet::new(move |(): ()| {
        let _sets = sets;
        up(());
    });
    g.switch(()).unwrap();
    assert!(g.throw(GreenletExit).unwrap().is::<GreenletExit>());
    assert!(g.is_dead() && cleaned.get());
}

#[test]
fn a_throw_into_an_unstarted_one_kills_it_unrun() {
    let g = Greenlet::new(|(): ()| unreachable!("thrown into before it began"));
    assert_eq!(catch::<u8, _>(|| g.throw(1_u8)).unwrap_err(), 1);
    assert!(g.is_dead());
    let g = Greenlet::new(|(): ()| unreachable!("thrown into before it began"));
    assert!(g.throw(GreenletExit).unwrap().is::<GreenletExit>());
    assert!(g.is_dead());
}

#[test]
fn a_throw_goes_to_the_parent_and_not_to_the_thrower() {
    let caught = Rc::new(Cell::new(0));
    let result = Rc::clone(&caught);
    let mother = Greenlet::new(move |(): ()| {
        let child = Greenlet::new(|(): ()| drop(up(())));
        child.switch(()).unwrap();
        result.set(catch::<u8, _>(|| up(child)).unwrap_err());
    });
    let child: Greenlet = mother.switch(()).unwrap().get();
    child.throw(6_u8).unwrap();
    assert_eq!(caught.get(), 6);
    assert!(mother.is_dead());
}

// test_greenlet: test_set_parent, test_set_parent_loop.
#[test]
fn parents_can_be_changed_but_not_into_a_circle() {
    let (a, b, c) = (
        Greenlet::new(|(): ()| ()),
        Greenlet::new(|(): ()| ()),
        Greenlet::new(|(): ()| ()),
    );
    a.set_parent(&b).unwrap();
    b.set_parent(&c).unwrap();
    assert_eq!(c.set_parent(&a), Err(ParentError::Cycle));
    assert_eq!(a.set_parent(&a), Err(ParentError::Cycle));
    assert_eq!(a.parent().unwrap(), b);
    let dead = Greenlet::new(|(): ()| ());
    dead.switch(()).unwrap();
    assert_eq!(a.set_parent(&dead), Err(ParentError::Dead));
}

#[test]
fn a_wrong_first_value_names_both_types() {
    let g = Greenlet::new(|n: i32| n);
    let text = panic_of(|| g.switch("text"));
    assert!(text.contains("&str") && text.contains("i32"), "{text}");
    assert!(g.is_dead());
    let any = Greenlet::new(|value: Value| value.is::<u8>());
    assert!(any.switch(1_u8).unwrap().get::<bool>());
}

// test_gc, test_dealloc: dropping the last handle unwinds the greenlet there and then.
#[test]
fn the_last_handle_takes_the_greenlet_with_it() {
    let cleaned = Rc::new(Cell::new(0));
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            // From inside a drop nobody can be left.
            assert!(matches!(
                parent_of_current().switch(()),
                Err(SwitchError::NotCurrent(_)) | Ok(_)
            ));
        }
    }
    fn parent_of_current() -> Greenlet {
        Greenlet::current()
    }
    let make = |cleaned: &Rc<Cell<u32>>| {
        let counts = Counts(Rc::clone(cleaned));
        let g = Greenlet::new(move |(): ()| {
            let _counts = counts;
            up(());
        });
        g.switch(()).unwrap();
        g
    };
    let g = make(&cleaned);
    drop(g.clone());
    assert_eq!(cleaned.get(), 0);
    drop(g);
    assert_eq!(cleaned.get(), 1);
    std::mem::forget(make(&cleaned));
    assert_eq!(cleaned.get(), 1);
}

#[test]
fn a_destructor_of_a_dropped_one_cannot_switch_away() {
    let seen = Rc::new(RefCell::new(String::new()));
    struct Switches(Greenlet, Rc<RefCell<String>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            *self.1.borrow_mut() = self.0.switch(1).unwrap_err().to_string();
        }
    }
    let other = Greenlet::new(|_: i32| ());
    let switches = Switches(other, Rc::clone(&seen));
    let g = Greenlet::new(move |(): ()| {
        let _switches = switches;
        up(());
    });
    g.switch(()).unwrap();
    drop(g);
    assert_eq!(
        *seen.borrow(),
        "switch from inside the drop of another greenlet"
    );
}

#[test]
fn a_greenlet_that_drops_its_own_last_handle_goes_on() {
    let slot: Rc<RefCell<Option<Greenlet>>> = Rc::default();
    let own = Rc::clone(&slot);
    let g = Greenlet::new(move |(): ()| {
        own.borrow_mut().take();
        up("first");
        unreachable!("nobody can switch here any more");
    });
    *slot.borrow_mut() = Some(g.clone());
    // The temporary is the other handle; it lives until the switch has returned.
    assert_eq!(g.switch(()).unwrap().get::<&str>(), "first");
    drop(g);
}

#[test]
fn a_long_line_of_parents_is_dropped_without_recursion() {
    let mut last = Greenlet::new(|(): ()| ());
    for _ in 0..2_000 {
        let next = Greenlet::new(|(): ()| ());
        next.set_parent(&last).unwrap();
        last = next;
    }
    drop(last);
}

// test_tracing: the order for a child that returns and one that fails; a hook that raises.
#[test]
fn the_trace_hook_sees_switches_and_throws() {
    let kinds = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&kinds);
    let root = Greenlet::current();
    let base = root.clone();
    Greenlet::set_trace(move |event| {
        assert_eq!(event.target, Greenlet::current());
        log.borrow_mut().push((event.kind, event.origin == base));
    });
    Greenlet::new(|(): ()| ()).switch(()).unwrap();
    let fails = Greenlet::new(|(): ()| std::panic::resume_unwind(Box::new(1_u8)));
    assert_eq!(catch::<u8, _>(|| fails.switch(())).unwrap_err(), 1);
    Greenlet::clear_trace();
    Greenlet::new(|(): ()| ()).switch(()).unwrap();
    use TraceKind::{Switch, Throw};
    assert_eq!(
        *kinds.borrow(),
        [
            (Switch, true),
            (Switch, false),
            (Switch, true),
            (Throw, false)
        ]
    );
}

#[test]
fn a_trace_hook_that_panics_is_removed_and_panics_in_the_target() {
    Greenlet::set_trace(|_| panic!("hook failed"));
    let g = Greenlet::new(|(): ()| unreachable!("the hook panics first"));
    assert_eq!(panic_of(|| g.switch(())), "hook failed");
    assert!(g.is_dead());
    Greenlet::new(|(): ()| ()).switch(()).unwrap();
}

#[test]
fn a_trace_hook_may_switch_while_an_error_is_on_its_way() {
    let root = Greenlet::current();
    let echo = Greenlet::new(move |(): ()| {
        loop {
            root.switch("echo").unwrap();
        }
    });
    let echoed = Rc::new(Cell::new(false));
    let once = Rc::clone(&echoed);
    Greenlet::set_trace(move |event| {
        if event.kind == TraceKind::Throw && !once.replace(true) {
            assert_eq!(echo.switch(()).unwrap().get::<&str>(), "echo");
        }
    });
    let fails = Greenlet::new(|(): ()| std::panic::resume_unwind(Box::new(1_u8)));
    assert_eq!(catch::<u8, _>(|| fails.switch(())).unwrap_err(), 1);
    Greenlet::clear_trace();
    assert!(echoed.get());
}

// test_generator, test_generator_nested: generators made of greenlets, and generators inside them.
#[test]
fn a_generator_runs_inside_a_greenlet_and_is_left_in_the_middle() {
    let g = Greenlet::new(|(): ()| {
        let numbers = Generator::<u32>::new(|y| {
            for n in 0..3 {
                up(n); // leaves the greenlet from the generator's stack
                y.suspend(n * 10);
            }
        });
        numbers.sum::<u32>()
    });
    for n in 0..3 {
        assert_eq!(g.switch(()).unwrap().get::<u32>(), n);
    }
    assert_eq!(g.switch(()).unwrap().get::<u32>(), 30);
}

#[test]
fn suspend_inside_a_greenlet_reaches_only_what_runs_in_it() {
    let outer = Coroutine::<(), u8, ()>::new(|_, ()| {
        let g = Greenlet::new(|(): ()| suspend::<(), u8>(1));
        let text = panic_of(|| g.switch(()));
        assert!(text.contains("greenlet"), "{text}");
        suspend::<(), u8>(2);
    });
    assert_eq!(outer.resume(()).unwrap(), State::Yielded(2));
    assert!(outer.resume(()).unwrap().is_complete());
}

#[test]
fn a_generator_left_running_by_a_switch_is_already_executing() {
    let shared = Rc::new(Generator::<u8>::new(|y| {
        up(());
        y.suspend(1);
    }));
    let inside = Rc::clone(&shared);
    let g = Greenlet::new(move |(): ()| inside.next());
    g.switch(()).unwrap();
    assert_eq!(panic_of(|| shared.next()), "generator already executing");
    assert_eq!(g.switch(()).unwrap().get::<Option<u8>>(), Some(1));
}

#[test]
fn a_killed_greenlet_unwinds_the_generators_it_was_in() {
    let count = Rc::new(Cell::new(0));
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    for kill in [true, false] {
        let (a, b) = (Counts(Rc::clone(&count)), Counts(Rc::clone(&count)));
        let g = Greenlet::new(move |(): ()| {
            let _a = a;
            Generator::<u8>::new(move |_| {
                let _b = b;
                up(());
            })
            .next();
        });
        g.switch(()).unwrap();
        if kill {
            g.throw(GreenletExit).unwrap();
        }
        drop(g);
    }
    assert_eq!(count.get(), 4);
}

#[test]
fn a_child_that_dies_of_a_panic_while_its_parent_unwinds_is_an_error_there() {
    struct Switches(Greenlet, Rc<Cell<bool>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            let error = self.0.switch(()).unwrap_err();
            self.1.set(matches!(error, SwitchError::Thrown(_)));
        }
    }
    let seen = Rc::new(Cell::new(false));
    let fails = Greenlet::new(|(): ()| panic!("second"));
    let text = panic_of(|| {
        let _switches = Switches(fails, Rc::clone(&seen));
        panic!("first");
    });
    assert_eq!(text, "first");
    assert!(seen.get());
}

#[test]
fn many_in_a_ring() {
    let slots: Rc<RefCell<Vec<Greenlet>>> = Rc::default();
    for i in 0..100_usize {
        let ring = Rc::clone(&slots);
        let g = Greenlet::new(move |mut n: usize| {
            loop {
                let next = ring.borrow().get(i + 1).cloned();
                let next = next.unwrap_or_else(parent);
                n = next.switch(n + 1).unwrap().get();
            }
        });
        slots.borrow_mut().push(g);
    }
    let first = slots.borrow()[0].clone();
    for _ in 0..3 {
        assert_eq!(first.switch(0_usize).unwrap().get::<usize>(), 100);
    }
    slots.take();
}

#[test]
fn each_thread_has_its_own_root() {
    let id = Greenlet::current().id();
    let other = std::thread::spawn(|| Greenlet::current().id())
        .join()
        .unwrap();
    assert_ne!(id, other);
}

#[cfg(feature = "runtime")]
mod in_tasks {
    use super::*;

    #[test]
    fn each_task_has_its_own_family() {
        greenloom::run(|| {
            let mine = Rc::new(Greenlet::new(|(): ()| "mine"));
            let here = Rc::clone(&mine);
            let task = greenloom::spawn_local(move || {
                assert!(matches!(
                    here.switch(()),
                    Err(SwitchError::ForeignFamily(_))
                ));
                Greenlet::new(|(): ()| ()).set_parent(&here)
            });
            assert_eq!(task.join().unwrap(), Err(ParentError::ForeignFamily));
            assert_eq!(mine.switch(()).unwrap().get::<&str>(), "mine");
        });
    }

    #[test]
    fn a_switch_out_of_a_scope_is_refused_by_its_name() {
        greenloom::run(|| {
            let root = Greenlet::current();
            let g = Greenlet::new(move |(): ()| {
                let again = root.clone();
                let refused = move |scope: &str| {
                    let error = again.switch(7).unwrap_err();
                    let text = format!("switch to another greenlet inside of {scope}");
                    assert_eq!(error.to_string(), text);
                    let SwitchError::InScope {
                        scope: named,
                        value,
                    } = error
                    else {
                        panic!("{error:?}");
                    };
                    assert_eq!((named, value.downcast_ref()), (scope, Some(&7)));
                };
                greenloom::shield(|| refused("shield"));
                greenloom::no_park(|| refused("no_park"));
                greenloom::scope(|_| refused("scope"));
                greenloom::timeout(std::time::Duration::MAX, || refused("timeout")).unwrap();
                // A generator inside of it is no way round.
                let inner = refused.clone();
                greenloom::shield(|| Generator::<()>::new(move |_| inner("shield")).next());
                root.switch(8).unwrap();
            });
            assert_eq!(g.switch(()).unwrap().get::<i32>(), 8);
        });
    }

    #[test]
    fn a_task_parks_from_generators_inside_greenlets() {
        greenloom::run(|| {
            let g = Greenlet::new(|(): ()| {
                Generator::<u32>::new(|y| {
                    for n in 0..3 {
                        greenloom::yield_now();
                        y.suspend(n);
                    }
                })
                .inspect(|_| greenloom::yield_now())
                .sum::<u32>()
            });
            let neighbour = greenloom::spawn_local(|| {
                for _ in 0..4 {
                    greenloom::yield_now();
                    assert!(panic_of(|| suspend::<(), u32>(0)).contains("outside"));
                }
            });
            assert_eq!(g.switch(()).unwrap().get::<u32>(), 3);
            neighbour.join().unwrap();
        });
    }

    #[test]
    fn a_generator_parked_in_one_task_is_already_executing_for_another() {
        greenloom::run(|| {
            let g = Rc::new(Generator::<u32>::new(|y| {
                greenloom::yield_now();
                y.suspend(1);
                y.suspend(2);
            }));
            let other = Rc::clone(&g);
            let task = greenloom::spawn_local(move || other.next());
            greenloom::yield_now();
            assert!(g.try_next().unwrap_err().is_already_running());
            assert_eq!(task.join().unwrap(), Some(1));
            assert_eq!(g.next(), Some(2), "begun by one task, continued by another");
        });
    }

    #[test]
    fn cancelling_a_task_unwinds_the_generator_and_the_greenlet_it_parks_in() {
        let count = Rc::new(Cell::new(0));
        struct Counts(Rc<Cell<u32>>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let seen = Rc::clone(&count);
        greenloom::run(|| {
            let count = seen;
            let task = greenloom::spawn_local(move || {
                let _task = Counts(Rc::clone(&count));
                Greenlet::new(move |(): ()| {
                    let _greenlet = Counts(Rc::clone(&count));
                    Generator::<u8>::new(move |_| {
                        let _generator = Counts(Rc::clone(&count));
                        greenloom::park();
                    })
                    .next();
                })
                .switch(())
                .unwrap();
            });
            greenloom::yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
        });
        assert_eq!(count.get(), 3);
    }

    #[test]
    fn a_scope_that_must_be_left_in_order_is_not_suspended() {
        greenloom::run(|| {
            let c = Coroutine::<(), u8, ()>::new(|y, ()| {
                greenloom::shield(|| {
                    assert!(panic_of(|| suspend::<(), u8>(1)).contains("shield"));
                    assert!(panic_of(|| y.suspend(1)).contains("shield"));
                    // What is begun and ended inside may suspend.
                    assert_eq!(Generator::<u8>::new(|y| y.yield_all(0..3)).count(), 3);
                });
                y.suspend(2);
            });
            assert_eq!(c.resume(()).unwrap(), State::Yielded(2));
            assert!(c.resume(()).unwrap().is_complete());
            let g = Greenlet::new(|(): ()| {
                greenloom::shield(|| {
                    matches!(parent().switch(()), Err(SwitchError::InScope { .. }))
                })
            });
            assert!(g.switch(()).unwrap().get::<bool>());
        });
    }
}
