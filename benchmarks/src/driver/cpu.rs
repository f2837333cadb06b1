//! CPU time: whose it was, and how much of it others took.

use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::param::clock_ticks_per_second;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPU time that all threads of a process have taken, those that ended excepted.
pub fn of_process(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let first = stat.split_whitespace().next();
        sum += first.and_then(|ns| ns.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// The CPUs that this process may use, the lowest first.
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("the CPUs of this process");
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// Holds this thread, and the processes that it starts from now on, to these.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    Ok(sched_setaffinity(None, &set)?)
}

/// Watches some CPUs while our own processes use them.
#[derive(Debug)]
pub struct Watch {
    cpus: Vec<usize>,
    began: Instant,
    busy: f64,
    own: f64,
}

impl Watch {
    pub fn start(cpus: &[usize]) -> Watch {
        Watch {
            cpus: cpus.to_vec(),
            began: Instant::now(),
            busy: busy(cpus),
            own: children(),
        }
    }

    /// The share of these CPUs that others took since the start, in ticks of (mostly) 10 ms. To be
    /// asked when our processes have been waited for.
    pub fn others(&self) -> f64 {
        let taken = (busy(&self.cpus) - self.busy) - (children() - self.own);
        let all = self.began.elapsed().as_secs_f64() * self.cpus.len() as f64;
        (taken / all).clamp(0.0, 1.0)
    }
}

/// Seconds since boot that these CPUs were not idle.
fn busy(cpus: &[usize]) -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut ticks = 0.0;
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        let name = fields.next().and_then(|name| name.strip_prefix("cpu"));
        let Some(cpu) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        if cpus.contains(&cpu) {
            let times: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
            // user, nice, system; not idle and iowait; irq, softirq, steal.
            ticks += [0, 1, 2, 5, 6, 7]
                .iter()
                .filter_map(|&n| times.get(n))
                .sum::<f64>();
        }
    }
    ticks / clock_ticks_per_second() as f64
}

/// Seconds of CPU that the processes took which this one has waited for.
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses come the fields from the third on; these are the 16th and 17th.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks: f64 = fields
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / clock_ticks_per_second() as f64
}
