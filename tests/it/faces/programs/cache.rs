//! Readers of a map that is filled once for each key.

use std::collections::HashMap;

use super::facade::sync::atomic::{AtomicUsize, Ordering};
use super::facade::sync::{Arc, RwLock};
use super::facade::thread;

#[derive(Default)]
struct Cache {
    lengths: RwLock<HashMap<&'static str, usize>>,
    computed: AtomicUsize,
}

impl Cache {
    fn length(&self, word: &'static str) -> usize {
        if let Some(&length) = self.lengths.read().unwrap().get(word) {
            return length;
        }
        let mut lengths = self.lengths.write().unwrap();
        // Somebody may have been faster.
        *lengths.entry(word).or_insert_with(|| {
            self.computed.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            word.len()
        })
    }
}

pub(crate) fn main() -> String {
    let words = [
        "to", "read", "is", "cheap", "and", "writing", "once", "enough!!",
    ];
    let cache = Arc::new(Cache::default());
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let mut reads = 0;
                for i in 0..words.len() {
                    let word = words[(i + n) % words.len()];
                    assert_eq!(cache.length(word), word.len());
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let reads: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let computed = cache.computed.load(Ordering::Relaxed);
    let kept = cache.lengths.read().unwrap().len();
    format!("{reads} reads of {kept} words, computed {computed} times")
}
