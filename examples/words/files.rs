//! How many files this process may open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that a process needs besides its connections.
const SPARE: usize = 24;

/// `wanted` connections that take `each` descriptors, or as many as may be open, which is said then.
pub(crate) fn affordable(program: &str, wanted: usize, each: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let most = files.saturating_sub(SPARE) / each;
    if most < wanted {
        eprintln!(
            "{program}: {} at a time instead of {wanted}: {files} files may be open (ulimit -n)",
            most.max(1)
        );
    }
    wanted.min(most).max(1)
}
