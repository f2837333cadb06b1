//! Producers and consumers round a buffer of a mutex and two condition variables.

use std::collections::VecDeque;

use super::facade::sync::atomic::{AtomicUsize, Ordering};
use super::facade::sync::{Arc, Condvar, Mutex};
use super::facade::thread;

struct Buffer<T> {
    items: Mutex<VecDeque<T>>,
    not_empty: Condvar,
    not_full: Condvar,
    capacity: usize,
    peak: AtomicUsize,
}

impl<T> Buffer<T> {
    fn new(capacity: usize) -> Self {
        Buffer {
            items: Mutex::new(VecDeque::new()),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
            capacity,
            peak: AtomicUsize::new(0),
        }
    }

    fn put(&self, item: T) {
        let mut items = self.items.lock().unwrap();
        while items.len() == self.capacity {
            items = self.not_full.wait(items).unwrap();
        }
        items.push_back(item);
        self.peak.fetch_max(items.len(), Ordering::Relaxed);
        drop(items);
        self.not_empty.notify_one();
    }

    fn get(&self) -> T {
        let items = self.items.lock().unwrap();
        let mut items = self
            .not_empty
            .wait_while(items, |items| items.is_empty())
            .unwrap();
        let item = items.pop_front().unwrap();
        self.not_full.notify_one();
        item
    }
}

pub(crate) fn main() -> String {
    const PRODUCERS: u32 = 3;
    const EACH: u32 = 33;
    let buffer = Arc::new(Buffer::new(4));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                for n in 0..EACH {
                    buffer.put(Some((producer, n)));
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                let mut last = [None; PRODUCERS as usize];
                let mut count = 0u64;
                while let Some((producer, n)) = buffer.get() {
                    // Of one producer each consumer gets a rising sequence.
                    let last = &mut last[producer as usize];
                    assert!(last.is_none_or(|last| last < n));
                    *last = Some(n);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for producer in producers {
        producer.join().unwrap();
    }
    for _ in &consumers {
        buffer.put(None);
    }
    let count: u64 = consumers.into_iter().map(|c| c.join().unwrap()).sum();
    assert!(buffer.peak.load(Ordering::Relaxed) <= 4);
    format!("{count} items in order, never more than 4 inside")
}
