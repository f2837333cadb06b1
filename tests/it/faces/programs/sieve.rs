//! Primes by a chain of filters, a thread each, over channels without room.

use super::facade::sync::mpsc::{Receiver, RecvError, sync_channel};
use super::facade::thread;

fn numbers(from: u32) -> Receiver<u32> {
    let (sender, receiver) = sync_channel(0);
    thread::spawn(move || {
        let mut n = from;
        // Ends when nobody receives any more.
        while sender.send(n).is_ok() {
            n += 1;
        }
    });
    receiver
}

fn without_multiples(of: u32, input: Receiver<u32>) -> Receiver<u32> {
    let (sender, receiver) = sync_channel(0);
    thread::spawn(move || {
        for n in input {
            if n % of != 0 && sender.send(n).is_err() {
                break;
            }
        }
    });
    receiver
}

fn primes(count: usize) -> Result<Vec<u32>, RecvError> {
    let mut found = Vec::with_capacity(count);
    let mut input = numbers(2);
    while found.len() < count {
        let prime = input.recv()?;
        found.push(prime);
        input = without_multiples(prime, input);
    }
    Ok(found)
}

pub(crate) fn main() -> String {
    let primes = primes(15).unwrap();
    let words: Vec<String> = primes.iter().map(u32::to_string).collect();
    words.join(" ")
}
