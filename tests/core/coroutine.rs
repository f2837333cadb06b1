//! Coroutines: what resume, suspend, panic and drop do, down to the edges.
//!
//! The behaviours that corosensei's and generator-rs' own suites check are here too, written anew.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};

use greenloom::coroutine::{
    Builder, Coroutine, Generator, ResumeError, StackSize, State, Yielder, suspend,
};

/// Counts its drops.
struct Tally(Rc<Cell<u32>>);

impl Tally {
    fn new() -> (Rc<Cell<u32>>, Tally) {
        let count = Rc::new(Cell::new(0));
        (Rc::clone(&count), Tally(count))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_default()
}

/// What `f` panics with.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => panic_text(&*payload),
    }
}

// corosensei: smoke, suspend_and_resume.
#[test]
fn values_travel_both_ways() {
    let c = Coroutine::<String, usize, Vec<String>>::new(|y, first| {
        let mut seen = vec![first];
        while seen.len() < 3 {
            seen.push(y.suspend(seen.len()));
        }
        seen
    });
    assert_eq!(c.resume("a".into()).unwrap(), State::Yielded(1));
    assert_eq!(c.resume("b".into()).unwrap(), State::Yielded(2));
    let end = c.resume("c".into()).unwrap().complete().unwrap();
    assert_eq!(end, ["a", "b", "c"]);
}

// corosensei: backtrace-free parts of its `test_drop` and `done`.
#[test]
fn resume_after_the_end_gives_the_input_back() {
    let c = Coroutine::<String, (), ()>::new(|_, _| ());
    assert!(!c.is_finished());
    assert!(c.resume("go".into()).unwrap().is_complete());
    assert!(c.is_finished());
    for _ in 0..2 {
        match c.resume("again".into()) {
            Err(ResumeError::Finished(input)) => assert_eq!(input, "again"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn resume_from_inside_is_an_error_and_harmless() {
    let c = Rc::new_cyclic(|me: &Weak<Coroutine<u8, u8, u8>>| {
        let me = me.clone();
        Coroutine::new(move |y, _| {
            let me = me.upgrade().unwrap();
            assert!(!me.is_finished());
            assert!(matches!(me.resume(9), Err(ResumeError::AlreadyRunning(9))));
            y.suspend(1);
            assert!(matches!(me.resume(9), Err(ResumeError::AlreadyRunning(9))));
            2
        })
    });
    assert_eq!(c.resume(0).unwrap(), State::Yielded(1));
    assert_eq!(c.resume(0).unwrap(), State::Complete(2));
}

#[test]
fn resume_from_a_destructor_of_the_body_is_an_error() {
    struct Resumes(Weak<Coroutine<(), (), ()>>, Rc<Cell<bool>>);
    impl Drop for Resumes {
        fn drop(&mut self) {
            // Upgrading fails while the last handle is being dropped; it works while it runs to its end.
            let refused = match self.0.upgrade() {
                Some(me) => matches!(me.resume(()), Err(ResumeError::AlreadyRunning(()))),
                None => true,
            };
            self.1.set(refused);
        }
    }
    for finish in [true, false] {
        let refused = Rc::new(Cell::new(false));
        let c = Rc::new_cyclic(|me: &Weak<Coroutine<(), (), ()>>| {
            let on_stack = Resumes(me.clone(), Rc::clone(&refused));
            Coroutine::new(move |y, ()| {
                let _on_stack = on_stack;
                y.suspend(());
            })
        });
        c.resume(()).unwrap();
        if finish {
            c.resume(()).unwrap();
        } else {
            drop(c);
        }
        assert!(refused.get());
    }
}

// corosensei: panics; generator-rs: test_panic_inside, test_inner_ref.
#[test]
fn a_panic_goes_to_the_resumer_once() {
    let c = Coroutine::<(), (), ()>::new(|y, ()| {
        y.suspend(());
        panic!("body failed");
    });
    c.resume(()).unwrap();
    assert_eq!(panic_of(|| c.resume(())), "body failed");
    assert!(c.is_finished());
    assert!(c.resume(()).unwrap_err().is_finished());
}

#[test]
fn any_payload_passes_through_unchanged() {
    #[derive(Debug, PartialEq)]
    struct Mine(u8);
    let outer = Coroutine::<(), (), ()>::new(|_, ()| {
        let inner = Coroutine::<(), (), ()>::new(|_, ()| resume_unwind(Box::new(Mine(3))));
        inner.resume(()).unwrap();
    });
    let payload = catch_unwind(AssertUnwindSafe(|| outer.resume(()))).unwrap_err();
    assert_eq!(*payload.downcast::<Mine>().unwrap(), Mine(3));
}

// corosensei: unwind of a suspended coroutine; generator-rs: test_drop.
#[test]
fn dropping_a_suspended_one_runs_its_destructors_without_the_panic_hook() {
    let (count, tally) = Tally::new();
    let c = Coroutine::<(), (), ()>::new(move |y, ()| {
        let _tally = tally;
        y.suspend(());
        unreachable!("never resumed");
    });
    c.resume(()).unwrap();
    assert_eq!(count.get(), 0);
    drop(c);
    assert_eq!(count.get(), 1);
}

#[test]
fn dropping_a_fresh_one_drops_what_it_captured_and_never_runs() {
    let (count, tally) = Tally::new();
    let c = Coroutine::<(), (), ()>::new(move |_, ()| {
        drop(tally);
        unreachable!("never resumed");
    });
    drop(c);
    assert_eq!(count.get(), 1);
}

#[test]
fn a_panic_in_a_destructor_comes_out_of_the_drop() {
    struct Bomb(&'static str);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }
    // In a capture that is never used,
    let bomb = Bomb("capture");
    let fresh = Coroutine::<(), (), ()>::new(move |_, ()| {
        let _bomb = &bomb;
    });
    assert_eq!(panic_of(|| drop(fresh)), "capture");
    // and in a plain return.
    let returns = Coroutine::<(), (), ()>::new(|_, ()| {
        let _bomb = Bomb("return");
    });
    assert_eq!(panic_of(|| returns.resume(())), "return");
}

#[test]
fn dropped_during_a_panic_it_still_runs_its_destructors() {
    let (count, tally) = Tally::new();
    let text = panic_of(|| {
        let c = Coroutine::<(), (), ()>::new(move |y, ()| {
            let _tally = tally;
            y.suspend(());
        });
        c.resume(()).unwrap();
        panic!("outside");
    });
    assert_eq!((text.as_str(), count.get()), ("outside", 1));
}

#[test]
fn a_body_that_swallows_its_close_is_given_up_after_some_tries() {
    let tries = Rc::new(Cell::new(0));
    let count = Rc::clone(&tries);
    let c = Coroutine::<(), (), ()>::new(move |y, ()| {
        loop {
            if catch_unwind(AssertUnwindSafe(|| y.suspend(()))).is_err() {
                count.set(count.get() + 1);
            }
        }
    });
    c.resume(()).unwrap();
    drop(c);
    assert_eq!(tries.get(), 8);
}

#[test]
fn a_body_that_swallows_its_close_once_ends_at_the_next() {
    let (count, tally) = Tally::new();
    let c = Coroutine::<(), (), ()>::new(move |y, ()| {
        let _tally = tally;
        let _ = catch_unwind(AssertUnwindSafe(|| y.suspend(())));
        y.suspend(());
    });
    c.resume(()).unwrap();
    drop(c);
    assert_eq!(count.get(), 1);
}

struct SuspendsInDrop;
impl Drop for SuspendsInDrop {
    fn drop(&mut self) {
        suspend::<(), ()>(());
    }
}

#[test]
fn a_destructor_that_suspends_while_unwinding_is_leaked_and_not_aborted() {
    let (count, tally) = Tally::new();
    let c = Coroutine::<(), (), ()>::new(move |y, ()| {
        let _tally = tally;
        let _suspends = SuspendsInDrop;
        y.suspend(());
    });
    c.resume(()).unwrap();
    drop(c);
    assert_eq!(count.get(), 0, "leaked in the middle of its unwinding");
    let _ = std::thread::panicking(); // still counts it: a neighbour is parked mid-unwind
}

#[test]
fn a_destructor_may_suspend_while_a_panic_unwinds_and_be_resumed() {
    let c = Coroutine::<(), (), ()>::new(|_, ()| {
        let _suspends = SuspendsInDrop;
        panic!("through a suspension");
    });
    assert_eq!(c.resume(()).unwrap(), State::Yielded(()));
    assert_eq!(panic_of(|| c.resume(())), "through a suspension");
}

#[test]
fn parked_in_the_middle_of_a_panic_it_is_leaked_by_drop() {
    let c = Coroutine::<(), (), ()>::new(|_, ()| {
        let _suspends = SuspendsInDrop;
        panic!("never finished");
    });
    c.resume(()).unwrap();
    drop(c);
}

#[test]
fn dropping_its_own_handle_from_its_own_destructor_is_safe() {
    type Slot = Rc<RefCell<Option<Coroutine<(), (), ()>>>>;
    struct Takes(Slot, Rc<Cell<bool>>);
    impl Drop for Takes {
        fn drop(&mut self) {
            self.1.set(true);
            // It is on its way out already: nothing is there, or it is borrowed by the resumer.
            if let Ok(mut slot) = self.0.try_borrow_mut() {
                drop(slot.take());
            }
        }
    }
    let slot: Slot = Rc::default();
    let ran = Rc::new(Cell::new(false));
    let takes = Takes(Rc::clone(&slot), Rc::clone(&ran));
    *slot.borrow_mut() = Some(Coroutine::new(move |y, ()| {
        let _takes = takes;
        y.suspend(());
    }));
    slot.borrow().as_ref().unwrap().resume(()).unwrap();
    let taken = slot.take();
    drop(taken);
    assert!(ran.get());
}

#[test]
fn a_forgotten_one_keeps_its_stack() {
    let text = Rc::new(String::from("held"));
    let weak = Rc::downgrade(&text);
    let c = Coroutine::<(), (), ()>::new(move |y, ()| {
        y.suspend(());
        drop(text);
    });
    c.resume(()).unwrap();
    std::mem::forget(c);
    for _ in 0..64 {
        Coroutine::<(), (), ()>::new(|_, ()| {
            std::hint::black_box([7_u8; 4096]);
        })
        .resume(())
        .unwrap();
    }
    assert_eq!(*weak.upgrade().unwrap(), "held");
}

// Ambient suspension.

fn calc(n: u32, each: &mut dyn FnMut()) -> u32 {
    (0..n).inspect(|_| each()).sum()
}

#[test]
fn a_callback_suspends_a_plain_function() {
    let c = Coroutine::<(), &'static str, u32>::new(|_, ()| {
        calc(10, &mut || suspend::<(), &'static str>("pause"))
    });
    for _ in 0..10 {
        assert_eq!(c.resume(()).unwrap(), State::Yielded("pause"));
    }
    assert_eq!(c.resume(()).unwrap(), State::Complete(45));
}

#[test]
fn suspend_outside_of_a_coroutine_says_so() {
    let text = panic_of(|| suspend::<i32, u8>(1));
    assert_eq!(text, "suspend::<i32, u8> outside of a coroutine");
}

#[test]
fn suspend_with_other_types_names_both() {
    let c = Coroutine::<u64, i8, ()>::new(|_, _| suspend::<i32, u8>(1).to_string().clear());
    let text = panic_of(|| c.resume(1));
    assert!(text.contains("suspend::<i32, u8>"), "{text}");
    assert!(text.contains("suspend::<u64, i8>"), "{text}");
}

#[test]
fn suspend_reaches_the_innermost_alone() {
    let outer = Coroutine::<(), char, ()>::new(|_, ()| {
        suspend::<(), char>('o');
        let inner = Coroutine::<(), u8, ()>::new(|_, ()| suspend::<(), u8>(1));
        assert_eq!(inner.resume(()).unwrap(), State::Yielded(1));
        suspend::<(), char>('p');
        inner.resume(()).unwrap();
    });
    assert_eq!(outer.resume(()).unwrap(), State::Yielded('o'));
    assert_eq!(outer.resume(()).unwrap(), State::Yielded('p'));
    assert!(outer.resume(()).unwrap().is_complete());
    assert!(panic_of(|| suspend::<(), char>('x')).contains("outside"));
}

#[test]
fn after_a_panic_the_chain_is_as_before() {
    let outer = Coroutine::<(), char, ()>::new(|_, ()| {
        let inner = Coroutine::<(), u8, ()>::new(|_, ()| panic!("inner"));
        assert_eq!(panic_of(|| inner.resume(())), "inner");
        suspend::<(), char>('o');
    });
    assert_eq!(outer.resume(()).unwrap(), State::Yielded('o'));
}

#[test]
fn the_outer_one_may_suspend_from_the_stack_of_an_inner() {
    let outer = Coroutine::<u32, u32, u32>::new(|y, first| {
        greenloom::coroutine::scoped(
            |inner: &Yielder<(), u32>| {
                let second = y.suspend(first + 1); // suspends `outer`, from here
                inner.suspend(second + 1);
                assert_eq!(y.suspend(100), 9);
            },
            |g| g.map(|n| n + y.suspend(50)).sum(),
        )
    });
    assert_eq!(outer.resume(1).unwrap(), State::Yielded(2));
    assert_eq!(outer.resume(5).unwrap(), State::Yielded(50));
    assert_eq!(outer.resume(1000).unwrap(), State::Yielded(100));
    assert_eq!(outer.resume(9).unwrap(), State::Complete(1006));
}

#[test]
fn dropped_while_suspended_from_an_inner_stack_both_unwind() {
    let (count, tally) = Tally::new();
    let (outer_count, outer_tally) = Tally::new();
    let outer = Coroutine::<(), (), ()>::new(move |y, ()| {
        let _outer = outer_tally;
        greenloom::coroutine::scoped(
            |_: &Yielder<(), ()>| {
                let _tally = &tally;
                y.suspend(());
            },
            |g| g.next(),
        );
        drop(tally);
    });
    outer.resume(()).unwrap();
    drop(outer);
    assert_eq!((count.get(), outer_count.get()), (1, 1));
}

#[test]
fn thread_local_references_and_borrows_live_over_a_suspension() {
    thread_local! { static KEY: RefCell<u32> = const { RefCell::new(5) }; }
    let c = Coroutine::<(), u32, ()>::new(|_, ()| {
        KEY.with(|key| {
            let value = key.borrow_mut();
            suspend::<(), u32>(*value);
        });
    });
    assert_eq!(c.resume(()).unwrap(), State::Yielded(5));
    assert!(KEY.with(|key| key.try_borrow().is_err()));
    drop(c);
    assert!(KEY.with(|key| key.try_borrow().is_ok()));
}

#[test]
fn at_thread_exit_resume_is_an_error_and_drop_leaks() {
    type Kept = (Coroutine<(), (), ()>, Rc<Cell<u32>>);
    struct Keeper(RefCell<Option<Kept>>);
    impl Drop for Keeper {
        fn drop(&mut self) {
            let (c, count) = self.0.take().unwrap();
            assert!(matches!(c.resume(()), Err(ResumeError::ThreadExited(()))));
            drop(c);
            assert_eq!(count.get(), 0);
        }
    }
    thread_local! { static KEEPER: Keeper = const { Keeper(RefCell::new(None)) }; }
    std::thread::spawn(|| {
        KEEPER.with(|keeper| {
            // The thread's first coroutine: KEEPER is older, and dies after the sentinel.
            let (count, tally) = Tally::new();
            let c = Coroutine::new(move |y: &Yielder<(), ()>, ()| {
                let _tally = tally;
                y.suspend(());
            });
            c.resume(()).unwrap();
            *keeper.0.borrow_mut() = Some((c, count));
        });
    })
    .join()
    .unwrap();
}

#[test]
fn many_live_at_once_and_end_in_any_order() {
    let mut all: Vec<_> = (0..1000_u32)
        .map(|i| {
            let c = Coroutine::<(), u32, ()>::new(move |y, ()| {
                y.suspend(i);
            });
            assert_eq!(c.resume(()).unwrap(), State::Yielded(i));
            c
        })
        .collect();
    while !all.is_empty() {
        let c = all.swap_remove(all.len() / 2);
        assert!(c.resume(()).unwrap().is_complete());
    }
}

#[test]
fn a_builder_gives_the_stack_that_it_was_asked_for() {
    fn depth(n: u32) -> u32 {
        let room = std::hint::black_box([1_u8; 1024]);
        if n == 0 {
            u32::from(room[0])
        } else {
            depth(n - 1) + u32::from(room[1])
        }
    }
    let c: Coroutine<(), (), u32> = Builder::new()
        .name("deep")
        .stack_size(StackSize::new(4 << 20).unwrap())
        .coroutine(|_, ()| depth(1000))
        .unwrap();
    assert_eq!(c.resume(()).unwrap().complete(), Some(1001));
}

#[test]
fn large_bodies_and_large_values_are_fine() {
    let big = [3_u8; 8192];
    let c = Coroutine::<[u8; 4096], [u8; 4096], u32>::new(move |y, first| {
        let second = y.suspend(first);
        u32::from(second[9]) + u32::from(big[8191])
    });
    assert_eq!(c.resume([1; 4096]).unwrap().yielded().unwrap()[4095], 1);
    assert_eq!(c.resume([2; 4096]).unwrap().complete(), Some(5));
}

#[test]
fn debug_tells_the_state() {
    let c = Coroutine::<(), (), ()>::new(|y, ()| y.suspend(()));
    assert!(format!("{c:?}").contains("fresh"));
    c.resume(()).unwrap();
    assert!(format!("{c:?}").contains("suspended"));
    c.resume(()).unwrap();
    assert!(format!("{c:?}").contains("finished"));
    let _ = format!("{:?}", Generator::<u8>::new(|_| ()));
}
