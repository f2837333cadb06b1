//! Files, with std's names: the task waits, its worker does not.
//!
//! The kernel has no readiness for files: a read from a slow disk blocks its thread. So everything here runs on
//! the runtime's blocking threads, as by [`unblock`](crate::unblock), and on a plain thread in place. That
//! costs two switches of threads for each call: many small reads are better done through a
//! [`BufReader`](std::io::BufReader), whole files by [`read()`] and [`write()`].
//!
//! What a call is given, it copies: a job never sees memory of a task that may be cancelled. A cancelled
//! call unwinds at once, and what it had begun runs to its end. What that means for the position of a file is
//! said at [`File`]; the functions here are as if they had been called in full.
//!
//! # Examples
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use greenloom::fs::{self, File};
//!
//! # greenloom::run(|| {
//! # let folder = std::env::temp_dir().join(format!("greenloom-fs-{}", std::process::id()));
//! fs::create_dir_all(&folder)?;
//! let mut file = File::create(folder.join("poem"))?;
//! file.write_all(b"roses\nviolets\n")?;
//! let lines = BufReader::new(File::open(folder.join("poem"))?).lines();
//! assert_eq!(lines.count(), 2);
//! fs::remove_dir_all(&folder)?;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

mod desk;
mod dir;
mod file;
mod ops;
mod options;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use ops::{
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write,
};
pub use options::{DirBuilder, OpenOptions};
