//! The private engine: workers, tasks, parking and waking.
