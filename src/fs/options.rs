//! How files are opened and folders are made.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::blocking::unblock;

use super::file::File;

/// How a file is opened: [`std::fs::OpenOptions`], whose `open` lets only the task wait.
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let file = greenloom::fs::OpenOptions::new().read(true).open("Cargo.toml")?;
/// assert!(file.metadata()?.is_file());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

/// A setting of std's that is true or false.
macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut Self {
            self.0.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// Everything off.
    #[expect(clippy::new_without_default, reason = "std's has none either")]
    pub fn new() -> Self {
        OpenOptions(std::fs::OpenOptions::new())
    }

    switches! {
        /// To be read.
        read;
        /// To be written.
        write;
        /// To be written at its end, wherever the position is.
        append;
        /// To be emptied first.
        truncate;
        /// To be made if it is missing.
        create;
        /// To be made; it is an error if it is there.
        create_new;
    }

    /// Opens.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`].
    ///
    /// # Cancellation
    ///
    /// Unwinds; if it is opened (or made) all the same, it is closed again.
    ///
    /// # Parks
    ///
    /// Until it is open (`blocking.unblock`).
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        unblock(move || options.open(path)).map(File::from)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        OpenOptions(options)
    }
}

/// How a folder is made: [`std::fs::DirBuilder`], whose `create` lets only the task wait.
#[derive(Debug)]
pub struct DirBuilder {
    is_recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// One folder, with the usual permissions.
    #[expect(clippy::new_without_default, reason = "std's has none either")]
    pub fn new() -> Self {
        DirBuilder {
            is_recursive: false,
            mode: None,
        }
    }

    /// With its missing parents; then it is no error if it is there.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.is_recursive = recursive;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirBuilder::create`].
    ///
    /// # Cancellation
    ///
    /// Unwinds; it is made all the same.
    ///
    /// # Parks
    ///
    /// Until it is made (`blocking.unblock`).
    #[track_caller]
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref().to_owned();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.is_recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        unblock(move || builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }
}
