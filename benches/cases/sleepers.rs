//! A million tasks asleep at once: what each of them costs in memory, page tables included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::{Builder, sleep};

use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::process::{available, memory};

const TASKS: usize = 1_000_000;
/// What a task may take before the machine is called too small for this many.
const EACH: u64 = 8 * 1024;

/// Leaves the sleepers behind: the case's process ends with it.
pub(crate) fn sleepers(name: &str, stack: Option<usize>, bar: f64) -> Vec<Figure> {
    let fit = (available() / EACH) as usize;
    let tasks = TASKS.min(fit);
    if tasks < TASKS {
        eprintln!("{name}: memory for {tasks} tasks only, not {TASKS}");
    }
    let runtime = one_worker();
    // The first task brings what the runtime needs for itself.
    runtime.block_on(|| sleep(Duration::from_millis(1)));
    let before = memory();
    let after = runtime.block_on(move || {
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..tasks {
            let started = Arc::clone(&started);
            let builder = match stack {
                Some(bytes) => Builder::new().stack_size(bytes),
                None => Builder::new(),
            };
            let spawned = builder.spawn(move || {
                started.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(3_600));
            });
            drop(spawned.expect("a task that sleeps"));
        }
        while started.load(Ordering::Relaxed) < tasks {
            sleep(Duration::from_millis(20));
        }
        // The last to start may only now be about to sleep.
        sleep(Duration::from_millis(20));
        memory()
    });
    std::mem::forget(runtime);
    let resident = after.peak.saturating_sub(before.resident);
    let tables = after.page_tables.saturating_sub(before.page_tables);
    let each = |bytes: u64| bytes as f64 / tasks as f64;
    vec![
        Figure::new(
            &format!("{name}/greenloom"),
            "bytes/task",
            &[each(resident + tables)],
            bar,
        ),
        Figure::new(
            &format!("{name}_tables/greenloom"),
            "bytes/task",
            &[each(tables)],
            None,
        ),
    ]
}
