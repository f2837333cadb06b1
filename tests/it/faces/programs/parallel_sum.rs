//! A sum over chunks of a borrowed slice, one thread a chunk.

use super::facade::sync::Mutex;
use super::facade::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::facade::thread;

pub(crate) fn main() -> String {
    let numbers: Vec<u64> = (1..=1_000_000).collect();
    let total = AtomicU64::new(0);
    let longest = AtomicUsize::new(0);
    let names = Mutex::new(Vec::new());
    let partial: Vec<u64> = thread::scope(|s| {
        let handles: Vec<_> = numbers
            .chunks(31_250)
            .enumerate()
            .map(|(n, chunk)| {
                let (total, longest, names) = (&total, &longest, &names);
                let builder = thread::Builder::new().name(format!("chunk-{n}"));
                let work = move || {
                    let sum: u64 = chunk.iter().sum();
                    total.fetch_add(sum, Ordering::Relaxed);
                    longest.fetch_max(chunk.len(), Ordering::Relaxed);
                    let name = thread::current().name().unwrap().to_owned();
                    names.lock().unwrap().push(name);
                    sum
                };
                builder.spawn_scoped(s, work).unwrap()
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut names = names.into_inner().unwrap();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 32);
    assert_eq!(partial.iter().sum::<u64>(), total.load(Ordering::Relaxed));
    let longest = longest.into_inner();
    format!("sum {}, longest chunk {longest}", total.into_inner())
}
