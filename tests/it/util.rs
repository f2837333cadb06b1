//! What several wings' tests need.

use greenloom::Runtime;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs `f` as the main task of a runtime with one worker.
pub(crate) fn green<T>(f: impl FnOnce() -> T) -> T {
    Runtime::builder()
        .workers(1)
        .panic_note(false)
        .run(f)
        .unwrap()
}

/// As [`green`], under a clock that jumps to the next deadline when everybody waits.
pub(crate) fn virtual_time<T>(f: impl FnOnce() -> T) -> T {
    Runtime::builder()
        .virtual_clock()
        .panic_note(false)
        .run(f)
        .unwrap()
}

/// Sees to it that this process may have so many descriptors, which other tests share. False, with a word, if it may
/// not: the test is then to do with fewer.
pub(crate) fn may_have(descriptors: u64) -> bool {
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= descriptors);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let may = is_enough(current)
        || is_enough(maximum) && {
            let current = Some(descriptors);
            setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok()
        };
    if !may {
        println!("no {descriptors} descriptors are allowed here");
    }
    may
}

/// Repeatable random numbers (xorshift).
pub(crate) struct Random(u64);

impl Random {
    /// Numbers that depend on the seed alone.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 to below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }
}
