//! Dining philosophers who take the lower fork first.

use std::time::Duration;

use super::facade::sync::{Arc, Mutex, TryLockError};
use super::facade::thread;

struct Philosopher {
    name: &'static str,
    left: usize,
    right: usize,
}

struct Table {
    forks: Vec<Mutex<u32>>,
}

impl Philosopher {
    fn dine(&self, table: &Table, meals: u32) -> u32 {
        let (first, second) = match self.left < self.right {
            true => (self.left, self.right),
            false => (self.right, self.left),
        };
        let mut eaten = 0;
        while eaten < meals {
            let mut first = table.forks[first].lock().unwrap();
            thread::yield_now();
            let mut second = match table.forks[second].try_lock() {
                Ok(fork) => fork,
                Err(TryLockError::WouldBlock) => table.forks[second].lock().unwrap(),
                Err(TryLockError::Poisoned(error)) => panic!("{}: {error}", self.name),
            };
            *first += 1;
            *second += 1;
            eaten += 1;
            if eaten % 7 == 0 {
                // real sleep: a pause for thought, on threads too
                thread::sleep(Duration::from_micros(50));
            }
        }
        eaten
    }
}

pub(crate) fn main() -> String {
    const MEALS: u32 = 20;
    let names = ["Socrates", "Plato", "Aristotle", "Zeno", "Hypatia"];
    let table = Arc::new(Table {
        forks: names.iter().map(|_| Mutex::new(0)).collect(),
    });
    let handles: Vec<_> = names
        .into_iter()
        .enumerate()
        .map(|(seat, name)| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let philosopher = Philosopher {
                    name,
                    left: seat,
                    right: (seat + 1) % table.forks.len(),
                };
                philosopher.dine(&table, MEALS)
            })
        })
        .collect();
    let eaten: Vec<u32> = handles.into_iter().map(|h| h.join().unwrap()).collect();
    let table = Arc::into_inner(table).expect("everybody has left");
    for fork in table.forks {
        assert_eq!(fork.into_inner().unwrap(), 2 * MEALS);
    }
    assert!(eaten.iter().all(|&eaten| eaten == MEALS));
    format!("{} philosophers ate {MEALS} times each", eaten.len())
}
