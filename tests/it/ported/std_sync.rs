//! What std's own tests (`library/std/tests/sync`, 1.95) check of `RwLock`, `Condvar`, `Once`, `OnceLock`, `LazyLock`
//! and `Barrier`, with tasks and threads in the place of threads.
//!
//! Not taken over: what is about layout and unstable functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{
    Arc, Barrier, Condvar, LazyLock, Once, OnceLock, RwLock, RwLockWriteGuard, TryLockError,
};
use greenloom::{Runtime, spawn, yield_now};

use crate::util::{Random, green};

/// Runs it on a plain thread alone, and in a task on two workers: each way everything must hold.
fn everywhere(f: impl Fn() + Send + Sync) {
    f();
    Runtime::builder().workers(2).run(f).unwrap();
}

/// Spawned as a task and as a thread in turn.
fn spawn_any(n: usize, f: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce()> {
    if n.is_multiple_of(2) {
        let task = spawn(f);
        Box::new(move || task.join().unwrap())
    } else {
        let thread = std::thread::spawn(f);
        Box::new(move || {
            greenloom::unblock(move || thread.join())
                .map_err(drop)
                .unwrap();
        })
    }
}

#[test]
fn rwlock_smoke() {
    everywhere(|| {
        let lock = RwLock::new(());
        drop(lock.read().unwrap());
        drop(lock.write().unwrap());
        drop((lock.read().unwrap(), lock.read().unwrap()));
        drop(lock.write().unwrap());
    });
}

#[test]
fn rwlock_frob() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new(()));
        let joins: Vec<_> = (0..10)
            .map(|n| {
                let lock = lock.clone();
                spawn_any(n, move || {
                    let mut random = Random::new(n as u64);
                    for _ in 0..1000 {
                        if random.below(10) == 0 {
                            drop(lock.write().unwrap());
                        } else {
                            drop(lock.read().unwrap());
                        }
                    }
                })
            })
            .collect();
        joins.into_iter().for_each(|join| join());
    });
}

/// Poison reaches readers and writers, and comes from writers alone.
#[test]
fn rwlock_poison() {
    everywhere(|| {
        let poisoned_by = |writes: bool| {
            let lock = Arc::new(RwLock::new(1));
            let theirs = lock.clone();
            let task = spawn(move || {
                if writes {
                    let _guard = theirs.write().unwrap();
                    panic!("poison");
                }
                let _guard = theirs.read().unwrap();
                panic!("no poison");
            });
            assert!(task.join().is_err());
            lock
        };
        let lock = poisoned_by(true);
        assert!(lock.is_poisoned() && lock.read().is_err() && lock.write().is_err());
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.write().unwrap(), 1);
        let lock = poisoned_by(false);
        assert!(!lock.is_poisoned() && lock.read().is_ok() && lock.write().is_ok());
    });
}

/// Ten times a reader counts up what writers have changed in two steps.
#[test]
fn rwlock_readers_never_see_half_a_change() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new(0));
        let theirs = lock.clone();
        let done = Arc::new((greenloom::sync::Mutex::new(false), Condvar::new()));
        let is_done = done.clone();
        drop(spawn(move || {
            let mut lock = theirs.write().unwrap();
            for _ in 0..10 {
                let before = *lock;
                *lock = -1;
                yield_now();
                *lock = before + 1;
            }
            drop(lock);
            *is_done.0.lock().unwrap() = true;
            is_done.1.notify_all();
        }));
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let lock = lock.clone();
                spawn(move || assert!(*lock.read().unwrap() >= 0))
            })
            .collect();
        readers.into_iter().for_each(|task| task.join().unwrap());
        let guard = done.0.lock().unwrap();
        drop(done.1.wait_while(guard, |is_done| !*is_done).unwrap());
        assert_eq!(*lock.read().unwrap(), 10);
    });
}

/// A value that is written in a destructor of a panic.
#[test]
fn rwlock_access_in_unwind() {
    struct Unwinder(Arc<RwLock<i32>>);
    impl Drop for Unwinder {
        fn drop(&mut self) {
            *self.0.write().unwrap() += 1;
        }
    }
    everywhere(|| {
        let lock = Arc::new(RwLock::new(1));
        let theirs = lock.clone();
        let task = spawn(move || {
            let _unwinder = Unwinder(theirs);
            panic!("unwind");
        });
        assert!(task.join().is_err());
        assert_eq!(*lock.read().unwrap(), 2);
    });
}

#[test]
fn rwlock_try_write_while_read() {
    let lock = RwLock::new(0);
    let guard = lock.read().unwrap();
    assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
    assert!(lock.try_read().is_ok());
    drop(guard);
    let guard = lock.write().unwrap();
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
    drop(guard);
}

#[test]
fn rwlock_into_inner_and_get_mut() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let lock = RwLock::new(Counted(drops.clone()));
    let inner = lock.into_inner().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(inner);
    assert_eq!(drops.load(Ordering::SeqCst), 1);

    let mut lock = RwLock::new(10);
    *lock.get_mut().unwrap() = 20;
    assert_eq!(lock.into_inner().unwrap(), 20);

    let lock = Arc::new(RwLock::new(3));
    let theirs = lock.clone();
    let thread = std::thread::spawn(move || {
        let _guard = theirs.write().unwrap();
        panic!("poison");
    });
    assert!(thread.join().is_err());
    let mut lock = Arc::into_inner(lock).unwrap();
    assert_eq!(*lock.get_mut().unwrap_err().into_inner(), 3);
    assert_eq!(lock.into_inner().unwrap_err().into_inner(), 3);
}

/// Whoever downgrades sees its own value until it lets go, among many who want to write.
#[test]
fn rwlock_downgrade_atomic() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new(0));
        let joins: Vec<_> = (0..8)
            .map(|n| {
                let lock = lock.clone();
                spawn_any(n, move || {
                    for _ in 0..200 {
                        let mut guard = lock.write().unwrap();
                        *guard += 1;
                        let mine = *guard;
                        let guard = RwLockWriteGuard::downgrade(guard);
                        yield_now();
                        assert_eq!(*guard, mine);
                    }
                })
            })
            .collect();
        joins.into_iter().for_each(|join| join());
        assert_eq!(*lock.read().unwrap(), 1600);
    });
}

#[test]
fn condvar_notify_one_and_all() {
    everywhere(|| {
        const N: usize = 10;
        let shared = Arc::new((
            greenloom::sync::Mutex::new(0),
            Condvar::new(),
            Condvar::new(),
        ));
        let joins: Vec<_> = (0..N)
            .map(|n| {
                let shared = shared.clone();
                spawn_any(n, move || {
                    let mut count = shared.0.lock().unwrap();
                    *count += 1;
                    if *count == N {
                        shared.1.notify_one();
                    }
                    // One more than all there are: the main task says so.
                    drop(shared.2.wait_while(count, |count| *count <= N).unwrap());
                })
            })
            .collect();
        let mut count = shared
            .1
            .wait_while(shared.0.lock().unwrap(), |count| *count < N)
            .unwrap();
        *count += 1;
        shared.2.notify_all();
        drop(count);
        joins.into_iter().for_each(|join| join());
    });
}

/// A time-out is told, a notice is not taken for one, and the longest time there is does not overflow.
#[test]
fn condvar_wait_timeouts() {
    everywhere(|| {
        let shared = Arc::new((greenloom::sync::Mutex::new(false), Condvar::new()));
        let moment = Duration::from_millis(1);
        let guard = shared.0.lock().unwrap();
        let (guard, result) = shared.1.wait_timeout(guard, moment).unwrap();
        assert!(result.timed_out());
        let waited = shared.1.wait_timeout_while(guard, moment, |_| true);
        let (guard, result) = waited.unwrap();
        assert!(result.timed_out());
        let theirs = shared.clone();
        let join = spawn_any(1, move || {
            *theirs.0.lock().unwrap() = true;
            theirs.1.notify_one();
        });
        let waited = shared
            .1
            .wait_timeout_while(guard, Duration::MAX, |is_set| !*is_set);
        assert!(!waited.unwrap().1.timed_out());
        join();
    });
}

#[test]
fn once_stampede() {
    everywhere(|| {
        static ONCE: Once = Once::new();
        static RUN: AtomicUsize = AtomicUsize::new(0);
        let joins: Vec<_> = (0..20)
            .map(|n| {
                spawn_any(n, || {
                    (0..4).for_each(|_| yield_now());
                    ONCE.call_once(|| {
                        yield_now();
                        RUN.fetch_add(1, Ordering::Relaxed);
                    });
                    assert_eq!(RUN.load(Ordering::Relaxed), 1);
                })
            })
            .collect();
        joins.into_iter().for_each(|join| join());
        assert!(ONCE.is_completed());
    });
}

/// Poisoned, forced past it, and sound again.
#[test]
fn once_poison_bad_then_forced() {
    everywhere(|| {
        let once = Once::new();
        let call = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(|| once.call_once(f))).is_err();
        assert!(call(&|| panic!("poison")));
        assert!(call(&|| ()), "poisoned");
        let mut called = false;
        once.call_once_force(|state| {
            called = true;
            assert!(state.is_poisoned());
        });
        assert!(called && !call(&|| panic!("never")));
    });
}

/// One forces its way while another waits in `call_once`: that one goes on, unharmed.
#[test]
fn once_wait_for_force_to_finish() {
    everywhere(|| {
        let once = Arc::new(Once::new());
        let poison = catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("poison"))));
        assert!(poison.is_err());
        let (begun, go_on) = <(Arc<Barrier2>, Arc<Barrier2>)>::default();
        let (theirs, b, g) = (once.clone(), begun.clone(), go_on.clone());
        let forcing = spawn_any(1, move || {
            theirs.call_once_force(|state| {
                assert!(state.is_poisoned());
                b.0.wait();
                g.0.wait();
            });
        });
        begun.0.wait();
        let theirs = once.clone();
        let calling = spawn_any(0, move || {
            let mut called = false;
            theirs.call_once(|| called = true);
            assert!(!called);
        });
        go_on.0.wait();
        forcing();
        calling();
    });
}

/// A place where two meet.
struct Barrier2(Barrier);

impl Default for Barrier2 {
    fn default() -> Self {
        Barrier2(Barrier::new(2))
    }
}

#[test]
fn once_wait_waits_for_another_to_initialise() {
    everywhere(|| {
        for _ in 0..50 {
            let value = Arc::new(AtomicUsize::new(0));
            let once = Arc::new(Once::new());
            let joins: Vec<_> = (0..4)
                .map(|n| {
                    let (once, value) = (once.clone(), value.clone());
                    spawn_any(n, move || {
                        once.wait();
                        assert_eq!(value.load(Ordering::Relaxed), 42);
                    })
                })
                .collect();
            once.call_once(|| value.store(42, Ordering::Relaxed));
            joins.into_iter().for_each(|join| join());
        }
    });
}

#[test]
fn once_lock_behaviours() {
    everywhere(|| {
        let lock = OnceLock::new();
        assert!(lock.get().is_none());
        // A panic leaves it empty and usable.
        let result = catch_unwind(AssertUnwindSafe(|| {
            lock.get_or_init(|| panic!("no value"));
        }));
        assert!(result.is_err() && lock.get().is_none());
        assert_eq!(lock.get_or_try_init(|| Err::<String, _>(())), Err(()));
        assert_eq!(lock.get_or_init(|| "hello".to_string()), "hello");
        assert_eq!(lock.get_or_init(|| unreachable!()), "hello");
        assert_eq!(lock.set("again".into()), Err("again".into()));
        let copy = lock.clone();
        assert_eq!(copy, lock);
        assert_eq!(copy.into_inner().as_deref(), Some("hello"));
        assert_eq!(OnceLock::from("hello".to_string()), lock);
        assert_eq!(OnceLock::<u8>::default().into_inner(), None);
    });
}

#[test]
fn once_lock_drops_what_is_in_it_and_nothing_else() {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = AtomicUsize::new(0);
    let lock = OnceLock::new();
    lock.get_or_init(|| Counted(&drops));
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(lock);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop(OnceLock::<Counted<'_>>::new());
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn lazy_lock_behaviours() {
    everywhere(|| {
        static CALLED: AtomicUsize = AtomicUsize::new(0);
        let lazy: Arc<LazyLock<usize>> = Arc::new(LazyLock::new(|| {
            yield_now();
            CALLED.fetch_add(1, Ordering::Relaxed);
            92
        }));
        let before = CALLED.load(Ordering::Relaxed);
        let joins: Vec<_> = (0..10)
            .map(|n| {
                let lazy = lazy.clone();
                spawn_any(n, move || {
                    let y = **lazy - 30;
                    assert_eq!(y, 62);
                })
            })
            .collect();
        joins.into_iter().for_each(|join| join());
        assert_eq!(CALLED.load(Ordering::Relaxed), before + 1);

        // A panic poisons it for good.
        let poisoned: LazyLock<String> = LazyLock::new(|| panic!("no value"));
        for _ in 0..2 {
            let result = catch_unwind(AssertUnwindSafe(|| poisoned.len()));
            assert!(result.is_err());
        }
    });
}

#[test]
fn lazy_lock_default_and_unused() {
    let lazy = LazyLock::<Vec<u8>>::default();
    assert!(lazy.is_empty());
    // What nobody wants is never made, and its initialiser is dropped.
    let kept = Arc::new(());
    let theirs = kept.clone();
    drop(LazyLock::<(), _>::new(move || drop(theirs)));
    assert_eq!(Arc::strong_count(&kept), 1);
}

/// One leader in each of two rounds.
#[test]
fn barrier_has_one_leader() {
    everywhere(|| {
        const N: usize = 10;
        let barrier = Arc::new(Barrier::new(N));
        let leaders = Arc::new(AtomicUsize::new(0));
        let joins: Vec<_> = (0..N - 1)
            .map(|n| {
                let (barrier, leaders) = (barrier.clone(), leaders.clone());
                spawn_any(n, move || {
                    for _ in 0..2 {
                        if barrier.wait().is_leader() {
                            leaders.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for round in 0..2 {
            (0..20).for_each(|_| yield_now());
            if round == 0 {
                // Nobody passes before the last has come.
                assert_eq!(leaders.load(Ordering::Relaxed), 0);
            }
            if barrier.wait().is_leader() {
                leaders.fetch_add(1, Ordering::Relaxed);
            }
        }
        joins.into_iter().for_each(|join| join());
        assert_eq!(leaders.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_one_second_initialiser_holds_up_nobody_but_those_who_want_it() {
    green(|| {
        static LAZY: LazyLock<u8> = LazyLock::new(|| {
            greenloom::sleep(Duration::from_millis(5));
            1
        });
        let wants = spawn(|| *LAZY);
        yield_now();
        let other = spawn(|| 2);
        assert_eq!(other.join().unwrap(), 2);
        assert!(!wants.is_finished());
        assert_eq!(wants.join().unwrap(), 1);
    });
}
