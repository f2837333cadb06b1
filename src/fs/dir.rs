//! What is in a folder, some entries a job.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::iter::FusedIterator;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocking::unblock;

use super::desk::Begun;

/// Entries that one job fetches, at most.
const BATCH: usize = 128;

type Entries = VecDeque<io::Result<std::fs::DirEntry>>;

/// Begins to read a folder.
///
/// # Errors
///
/// As [`std::fs::read_dir`].
///
/// # Cancellation
///
/// Unwinds.
///
/// # Parks
///
/// Until the folder is open (`blocking.unblock`).
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let mut entries = greenloom::fs::read_dir("src")?;
/// assert!(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() == "lib.rs")));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let rest = unblock(move || std::fs::read_dir(path))?;
    Ok(ReadDir {
        fetched: VecDeque::new(),
        source: Source::Rest(rest),
    })
}

/// The entries of a folder, made by [`read_dir`].
///
/// They are fetched some at a time, so `next` waits once in a while (`blocking.unblock`). Cancelled there, it
/// loses no entry: what is fetched then comes with the following calls.
pub struct ReadDir {
    fetched: Entries,
    source: Source,
}

enum Source {
    Rest(std::fs::ReadDir),
    Fetching(Begun<(std::fs::ReadDir, Entries)>),
    End,
}

impl ReadDir {
    /// Waits for the next entries; none are the end.
    #[track_caller]
    fn fetch(&mut self) {
        if let Source::Rest(_) = self.source {
            let begun = self.source.begin(Begun::new());
            if let (Source::Fetching(fetching), Some(mut rest)) = (&self.source, begun) {
                fetching.run(move || {
                    let entries = rest.by_ref().take(BATCH).collect();
                    (rest, entries)
                });
            }
        }
        if let Source::Fetching(fetching) = &self.source {
            fetching.wait();
        }
        if let Source::Fetching(fetching) = std::mem::replace(&mut self.source, Source::End)
            && let Some((rest, entries)) = fetching.take()
            && !entries.is_empty()
        {
            self.source = Source::Rest(rest);
            self.fetched = entries;
        }
    }
}

impl Source {
    /// Puts the job where it is found again, and gives it what it works on.
    fn begin(&mut self, job: Begun<(std::fs::ReadDir, Entries)>) -> Option<std::fs::ReadDir> {
        match std::mem::replace(self, Source::Fetching(job)) {
            Source::Rest(rest) => Some(rest),
            _ => None,
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.fetched.is_empty() {
            self.fetch();
        }
        let entry = self.fetched.pop_front()?;
        Some(entry.map(|entry| DirEntry(Arc::new(entry))))
    }
}

impl FusedIterator for ReadDir {}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("fetched", &self.fetched.len())
            .finish_non_exhaustive()
    }
}

/// One of the things in a folder, by [`read_dir`]: [`std::fs::DirEntry`].
#[derive(Clone)]
pub struct DirEntry(Arc<std::fs::DirEntry>);

impl DirEntry {
    /// The path: that of the folder and the name.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// The name within the folder.
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// What is known of it; of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::metadata`].
    ///
    /// # Parks
    ///
    /// Until it is known (`blocking.unblock`).
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        let entry = self.0.clone();
        unblock(move || entry.metadata())
    }

    /// What it is; of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::file_type`].
    ///
    /// # Parks
    ///
    /// Until it is known (`blocking.unblock`); most file systems have told it already, but not all.
    #[track_caller]
    pub fn file_type(&self) -> io::Result<FileType> {
        let entry = self.0.clone();
        unblock(move || entry.file_type())
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.0.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
