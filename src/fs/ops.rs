//! What can be done to paths, one job each.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::blocking::unblock;

/// A function of std's, of one path.
macro_rules! of_path {
    ($($(#[$doc:meta])* $name:ident -> $Out:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`std::fs::", stringify!($name), "`].")]
        ///
        /// # Cancellation
        ///
        /// Unwinds; it is done all the same.
        ///
        /// # Parks
        ///
        /// Until it is done (`blocking.unblock`).
        #[track_caller]
        pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$Out> {
            let path = path.as_ref().to_owned();
            unblock(move || std::fs::$name(path))
        }
    )*};
}

/// A function of std's, of two paths.
macro_rules! of_two_paths {
    ($($(#[$doc:meta])* $name:ident($first:ident, $second:ident) -> $Out:ty, $std:path;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`", stringify!($std), "`].")]
        ///
        /// # Cancellation
        ///
        /// Unwinds; it is done all the same.
        ///
        /// # Parks
        ///
        /// Until it is done (`blocking.unblock`).
        #[track_caller]
        pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>($first: P, $second: Q) -> io::Result<$Out> {
            let ($first, $second) = ($first.as_ref().to_owned(), $second.as_ref().to_owned());
            unblock(move || $std($first, $second))
        }
    )*};
}

of_path! {
    /// The whole content of a file.
    ///
    /// # Examples
    ///
    /// ```
    /// # greenloom::run(|| {
    /// assert!(greenloom::fs::read("Cargo.toml")?.starts_with(b"[package]"));
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    read -> Vec<u8>;
    /// The whole content of a file that is UTF-8.
    read_to_string -> String;
    /// What is known of a file, followed through symbolic links.
    metadata -> Metadata;
    /// What is known of a file, or of the symbolic link itself.
    symlink_metadata -> Metadata;
    /// The absolute path, without links and dots.
    canonicalize -> PathBuf;
    /// Where a symbolic link points to.
    read_link -> PathBuf;
    /// Whether there is something at the path; an error where that cannot be told.
    exists -> bool;
    /// Makes a folder; its parent must be there.
    create_dir -> ();
    /// Makes a folder and its missing parents.
    create_dir_all -> ();
    /// Removes a file.
    remove_file -> ();
    /// Removes an empty folder.
    remove_dir -> ();
    /// Removes a folder with all that is in it; follows no symbolic links.
    remove_dir_all -> ();
}

of_two_paths! {
    /// Gives a file or folder another name, in the place of what had it.
    rename(from, to) -> (), std::fs::rename;
    /// Copies a file with its permissions; returns how many bytes it has.
    copy(from, to) -> u64, std::fs::copy;
    /// Gives a file a second name.
    hard_link(original, link) -> (), std::fs::hard_link;
    /// Makes a symbolic link; as [`std::os::unix::fs::symlink`].
    symlink(original, link) -> (), std::os::unix::fs::symlink;
}

/// Makes `contents` the whole content of a file, which is made if it is missing.
///
/// # Errors
///
/// As [`std::fs::write`].
///
/// # Cancellation
///
/// Unwinds; it is written all the same.
///
/// # Parks
///
/// Until it is written (`blocking.unblock`).
#[track_caller]
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_vec());
    unblock(move || std::fs::write(path, contents))
}

/// Says who may do what with a file.
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
///
/// # Cancellation
///
/// Unwinds; it is done all the same.
///
/// # Parks
///
/// Until it is done (`blocking.unblock`).
#[track_caller]
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    unblock(move || std::fs::set_permissions(path, permissions))
}
