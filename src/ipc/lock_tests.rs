//! Locks without shared memory, and with a word that somebody scribbles on.

use super::*;

use std::sync::atomic::AtomicBool;
use std::thread;

const LONG: Duration = Duration::from_secs(60);

/// As another process has it where there is no shared memory.
fn without_word() -> Lock {
    let place = Arc::new(Place::Own(AtomicU32::new(0)));
    Lock::over(Handle::new(Machine::new(place)), None)
}

#[test]
fn without_shared_memory_all_goes_by_calls() {
    let lock = without_word();
    let guard = lock.acquire().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    let late = lock.acquire_timeout(Duration::from_millis(1)).unwrap();
    assert!(late.is_none());
    let waiter = thread::spawn({
        let lock = lock.clone();
        move || lock.acquire_timeout(LONG).unwrap().is_some()
    });
    drop(guard);
    assert!(waiter.join().unwrap());
    assert!(lock.try_acquire().unwrap().is_some());
}

#[test]
fn what_is_written_into_its_word_harms_no_other_lock() {
    let (lock, other) = (Lock::new(), Lock::new());
    drop((lock.acquire(), other.acquire()));
    let is_over = Arc::new(AtomicBool::new(false));
    let takers = [(); 2].map(|()| {
        let (lock, is_over) = (lock.clone(), is_over.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                drop(lock.acquire_timeout(Duration::from_micros(100)).unwrap());
            }
        })
    });
    let place = lock.core.place.as_deref().unwrap();
    let mut value = 1u32;
    for _ in 0..2000 {
        value ^= value << 13;
        value ^= value >> 17;
        value ^= value << 5;
        place.word().0.store(value, Ordering::Relaxed);
        drop(other.acquire_timeout(LONG).unwrap().expect("its own word"));
    }
    is_over.store(true, Ordering::Relaxed);
    takers.into_iter().for_each(|taker| taker.join().unwrap());
    // It can even be mended.
    place.word().0.store(0, Ordering::Relaxed);
    assert!(lock.acquire_timeout(LONG).unwrap().is_some());
}
