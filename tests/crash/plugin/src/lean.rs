//! A program without symbols, of which the linker has kept what is used: its children find their functions.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use greenloom::process::{Process, ProcessPool, TaskError};

/// What a constructor has left, perhaps one that the table lists after the children's entry.
static IS_CONSTRUCTED: AtomicBool = AtomicBool::new(false);

extern "C" fn construct() {
    IS_CONSTRUCTED.store(true, Ordering::Relaxed);
}

// SAFETY: called once before `main`; it stores into a static.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let child = Process::spawn(
        |text: String| (text, IS_CONSTRUCTED.load(Ordering::Relaxed)),
        text,
    );
    let (text, is_constructed) = child.unwrap().join().unwrap();
    println!("{} and {is_constructed}", text.trim());
    let pool = ProcessPool::new(2).unwrap();
    let squares = pool.map(0..100_u64, |n| n * n);
    assert!(
        squares
            .into_iter()
            .zip(0..)
            .all(|(square, n)| square.unwrap() == n * n)
    );
    match pool.apply(|_: u32| -> u32 { panic!("a word") }, 1) {
        Err(TaskError::Panicked(panic)) => println!("{}", panic.message()),
        other => println!("{other:?}"),
    }
}
