//! What the machine lets this process use, and how many threads it has.

/// How many threads the process has; `None` where the system does not tell.
pub(crate) fn thread_count() -> Option<usize> {
    // One line of /proc/self/stat would be shorter, but its second field may hold anything.
    std::fs::read_dir("/proc/self/task")
        .ok()
        .map(Iterator::count)
}
