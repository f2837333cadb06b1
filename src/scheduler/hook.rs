//! The chained panic hook: names the task that panics, and keeps a hook that waits from suspending it.

use std::io::Write;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::current;

static HAS_NOTE: AtomicBool = AtomicBool::new(true);

/// Chains our hook before the one that is installed now; once a process.
pub(crate) fn install(has_note: bool) {
    static ONCE: Once = Once::new();
    // Relaxed: a preference, read whenever a task panics.
    HAS_NOTE.store(has_note, Ordering::Relaxed);
    if std::thread::panicking() {
        // std forbids it here, by a panic, which in a destructor would abort. The next runtime does it.
        return;
    }
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let note = current::with_local(|local| {
                let local = local?;
                // Until the hook returns, waiting blocks the thread: were the task suspended in here,
                // any other panic on this thread would abort the process.
                local.set_in_hook(true);
                let task = &local.task;
                HAS_NOTE.load(Ordering::Relaxed).then(|| match task.name() {
                    "" => format!("note: in task {}, spawned at {}", task.id, task.spec.place),
                    name => format!(
                        "note: in task {} ({name}), spawned at {}",
                        task.id, task.spec.place
                    ),
                })
            });
            next(info);
            if let Some(note) = note {
                // Not `eprintln!`, which would panic where stderr is closed, and that inside of the hook.
                let _ = writeln!(std::io::stderr(), "{note}");
            }
            current::with_local(|local| {
                if let Some(local) = local {
                    local.set_in_hook(false);
                }
            });
        }));
    });
}
