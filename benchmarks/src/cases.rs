//! The catalogue: what is measured, at which sizes, on how many workers.

use std::fmt;

use crate::metric::Metric;

/// A kind of work. Its word is what peers in other languages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Yield,
    SpawnJoin,
    Skynet,
    Fib,
    PingPong,
    Ring,
    Mpsc,
    MutexFree,
    MutexContended,
    Select,
    Sleepers,
    Timers,
    ShortSleep,
    Generator,
    Switch,
    Unbalanced,
    Echo,
    EchoOneCpu,
    Http,
    HttpPipelined,
    HttpOneCpu,
    Idle,
    Pipe,
    Queue,
    Apply,
    MapSingle,
    MapChunked,
    PoolStart,
}

/// Part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Tasks,
    Waiting,
    Time,
    Coroutines,
    Network,
    Processes,
}

impl Group {
    pub const ALL: [Group; 6] = [
        Group::Tasks,
        Group::Waiting,
        Group::Time,
        Group::Coroutines,
        Group::Network,
        Group::Processes,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Group::Tasks => "Tasks",
            Group::Waiting => "Waiting for one another",
            Group::Time => "Sleeping, timers, memory",
            Group::Coroutines => "Coroutines alone",
            Group::Network => "Networks",
            Group::Processes => "Processes",
        }
    }
}

/// What a kind of work is, to a reader.
struct Description {
    word: &'static str,
    group: Group,
    /// A single operation, as in "ns per yield".
    per: &'static str,
    text: &'static str,
}

impl What {
    pub const ALL: [What; 28] = [
        What::Yield,
        What::SpawnJoin,
        What::Skynet,
        What::Fib,
        What::Unbalanced,
        What::PingPong,
        What::Ring,
        What::Mpsc,
        What::MutexFree,
        What::MutexContended,
        What::Select,
        What::Sleepers,
        What::Timers,
        What::ShortSleep,
        What::Generator,
        What::Switch,
        What::Echo,
        What::EchoOneCpu,
        What::Http,
        What::HttpPipelined,
        What::HttpOneCpu,
        What::Idle,
        What::Pipe,
        What::Queue,
        What::Apply,
        What::MapSingle,
        What::MapChunked,
        What::PoolStart,
    ];

    pub fn parse(word: &str) -> Option<What> {
        What::ALL.into_iter().find(|what| what.word() == word)
    }

    pub fn word(self) -> &'static str {
        self.description().word
    }

    pub fn group(self) -> Group {
        self.description().group
    }

    pub fn per(self) -> &'static str {
        self.description().per
    }

    pub fn text(self) -> &'static str {
        self.description().text
    }

    /// Whether a server in one process is asked by a client in another.
    pub fn is_served(self) -> bool {
        self.group() == Group::Network
    }

    /// Whether the client shares the server's CPU.
    pub fn is_on_one_cpu(self) -> bool {
        matches!(self, What::EchoOneCpu | What::HttpOneCpu)
    }

    /// Whether its instructions are worth counting: they do not depend on who sleeps how long.
    pub fn is_countable(self) -> bool {
        matches!(
            self,
            What::Yield
                | What::SpawnJoin
                | What::Fib
                | What::PingPong
                | What::Ring
                | What::Mpsc
                | What::MutexFree
                | What::MutexContended
                | What::Select
                | What::Generator
                | What::Switch
        )
    }

    /// What is looked at, the most telling first.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            What::Sleepers => &[Metric::Memory, Metric::Time],
            What::Echo | What::Http | What::HttpPipelined => {
                &[Metric::Rate, Metric::P99, Metric::Cpu]
            }
            What::EchoOneCpu | What::HttpOneCpu => &[Metric::Cpu, Metric::Rate],
            What::Idle => &[Metric::Memory, Metric::P99, Metric::Cpu],
            _ => &[Metric::Time],
        }
    }

    #[rustfmt::skip]
    fn description(self) -> Description {
        let (word, group, per, text) = match self {
            What::Yield => ("yield", Group::Tasks, "yield", "So many tasks, all started, yield in turn."),
            What::SpawnJoin => ("spawn_join", Group::Tasks, "task", "A task spawns a thousand that return a number, then joins them all; again and again."),
            What::Skynet => ("skynet", Group::Tasks, "leaf", "A tree of tasks, ten branches at each node, every node a task that joins its ten; so many leaves."),
            What::Fib => ("fib", Group::Tasks, "task", "Fibonacci numbers the silly way: each call spawns two tasks and joins them."),
            What::Unbalanced => ("unbalanced", Group::Tasks, "task", "64 tasks that have all started on one of two workers compute for a while: who can move a started task wins. Ours cannot, by design."),
            What::PingPong => ("ping_pong", Group::Waiting, "round trip", "A number to another task and back, by two channels with room for one."),
            What::Ring => ("ring", Group::Waiting, "pass", "503 tasks hand a token round, by a channel each with room for one."),
            What::Mpsc => ("mpsc", Group::Waiting, "item", "So many producers and one consumer at a channel with room for 1,000."),
            What::MutexFree => ("mutex_free", Group::Waiting, "lock", "Lock, add, unlock; nobody else wants it."),
            What::MutexContended => ("mutex_contended", Group::Waiting, "lock", "A hundred tasks count together; every tenth section yields while it holds the lock."),
            What::Select => ("select", Group::Waiting, "item", "A send, then a select over four channels of which that one is ready."),
            What::Sleepers => ("sleepers", Group::Time, "task", "So many tasks asleep at once: memory for each, page tables included, and the time to start one on fresh memory."),
            What::Timers => ("timers", Group::Time, "sleep", "So many tasks sleep for a millisecond, five times each."),
            What::ShortSleep => ("short_sleep", Group::Time, "sleep of 50 µs", "One task sleeps for 50 µs: what the clock and the kernel add."),
            What::Generator => ("generator", Group::Coroutines, "item", "Items out of a coroutine, summed."),
            What::Switch => ("switch", Group::Coroutines, "switch pair", "To another coroutine and back, a number each way."),
            What::Echo => ("echo", Group::Network, "request", "TCP echo of 64 bytes, one request out on each connection; the client on the other CPU."),
            What::EchoOneCpu => ("echo_one_cpu", Group::Network, "request", "TCP echo of 64 bytes with the client on the server's CPU, so that no wake-up crosses CPUs: the steadiest figure of what a server costs."),
            What::Http => ("http", Group::Network, "request", "HTTP/1.1 plaintext, keep-alive, one request out on each connection; the client on the other CPU."),
            What::HttpPipelined => ("http_pipelined", Group::Network, "request", "HTTP/1.1 plaintext with 16 requests in each message."),
            What::HttpOneCpu => ("http_one_cpu", Group::Network, "request", "HTTP/1.1 plaintext with the client on the server's CPU."),
            What::Idle => ("idle", Group::Network, "connection", "So many connections, of which 64 talk: memory for each, and the slowest answers."),
            What::Pipe => ("pipe", Group::Processes, "round trip", "A number to another process and back, by a pipe that carries objects. The bare row is read and write on a socket pair."),
            What::Queue => ("queue", Group::Processes, "round trip", "A number to another process and back, by two queues."),
            What::Apply => ("apply", Group::Processes, "call", "A call of a function in a pool of one process, and its result."),
            What::MapSingle => ("map_single", Group::Processes, "job", "Tiny jobs in a pool of processes, handed out one by one."),
            What::MapChunked => ("map_chunked", Group::Processes, "job", "Tiny jobs in a pool of processes, handed out as the pool sees fit."),
            What::PoolStart => ("pool_start", Group::Processes, "pool", "A pool, one call in its first process, and the end of both."),
        };
        Description { word, group, per, text }
    }
}

/// A kind of work at one size on so many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub what: What,
    /// Tasks, leaves, producers or connections; 0 where there is nothing to vary.
    pub size: usize,
    pub workers: usize,
    /// Whether `--quick` has it.
    pub is_quick: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.word())?;
        if self.size > 0 {
            write!(f, "_{}", self.size)?;
        }
        if self.workers > 1 {
            write!(f, "_{}w", self.workers)?;
        }
        Ok(())
    }
}

/// All cases, in the order of the report.
pub fn all() -> Vec<Case> {
    // Sizes on one worker, sizes on two; those of the second half of each pair are in `--quick` too.
    type Sizes = &'static [usize];
    #[rustfmt::skip]
    let table: &[(What, Sizes, Sizes, Sizes, Sizes)] = &[
        // what, one worker: full only, also quick; two workers: full only, also quick
        (What::Yield, &[10, 100, 10_000, 1_000_000], &[2, 1_000, 100_000], &[], &[]),
        (What::SpawnJoin, &[], &[0], &[], &[0]),
        (What::Skynet, &[1_000, 100_000, 1_000_000], &[10_000], &[1_000_000], &[10_000]),
        (What::Fib, &[25], &[20], &[25], &[20]),
        (What::Unbalanced, &[], &[], &[], &[64]),
        (What::PingPong, &[], &[0], &[], &[0]),
        (What::Ring, &[], &[0], &[0], &[]),
        (What::Mpsc, &[], &[1, 4], &[1], &[4]),
        (What::MutexFree, &[], &[0], &[], &[]),
        (What::MutexContended, &[], &[0], &[], &[0]),
        (What::Select, &[], &[0], &[], &[]),
        (What::Sleepers, &[1_000, 100_000, 1_000_000], &[10_000], &[], &[]),
        (What::Timers, &[100_000], &[10_000], &[], &[]),
        (What::ShortSleep, &[], &[0], &[], &[]),
        (What::Generator, &[], &[0], &[], &[]),
        (What::Switch, &[], &[0], &[], &[]),
        (What::Echo, &[1, 10, 100, 1_000, 10_000], &[64], &[64], &[]),
        (What::EchoOneCpu, &[], &[64], &[], &[]),
        (What::Http, &[1, 1_000, 10_000], &[64], &[64], &[]),
        (What::HttpPipelined, &[], &[64], &[], &[]),
        (What::HttpOneCpu, &[], &[64], &[], &[]),
        (What::Idle, &[10_000], &[], &[], &[]),
        (What::Pipe, &[], &[0], &[0], &[]),
        (What::Queue, &[], &[0], &[0], &[]),
        (What::Apply, &[], &[0], &[0], &[]),
        (What::MapSingle, &[], &[], &[], &[0]),
        (What::MapChunked, &[], &[], &[], &[0]),
        (What::PoolStart, &[], &[0], &[0], &[]),
    ];
    let mut cases = Vec::new();
    for &(what, full_1, quick_1, full_2, quick_2) in table {
        for (workers, full, quick) in [(1, full_1, quick_1), (2, full_2, quick_2)] {
            let mut sizes: Vec<_> = full.iter().map(|&size| (size, false)).collect();
            sizes.extend(quick.iter().map(|&size| (size, true)));
            sizes.sort();
            cases.extend(sizes.into_iter().map(|(size, is_quick)| Case {
                what,
                size,
                workers,
                is_quick,
            }));
        }
    }
    cases
}
