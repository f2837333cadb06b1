//! Taking a command line apart as a shell would.

use std::{error, fmt, io};

/// A command line that cannot be taken apart: a quotation that does not end, or a backslash at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitError(());

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quotation that does not end, or nothing after a backslash")
    }
}

impl error::Error for SplitError {}

impl From<SplitError> for io::Error {
    fn from(error: SplitError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

/// The words of a command line, by the rules of a POSIX shell for quotes, backslashes and comments.
///
/// Nothing else of a shell: no variables, no wildcards, no pipes. As Python's `shlex.split` with
/// `comments=True`.
///
/// # Errors
///
/// [`SplitError`].
///
/// # Examples
///
/// ```
/// use greenloom::process::split;
///
/// assert_eq!(split("ping -c 1 'my host'")?, ["ping", "-c", "1", "my host"]);
/// assert!(split("it's").is_err());
/// # Ok::<(), greenloom::process::SplitError>(())
/// ```
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    shlex::split(line).ok_or(SplitError(()))
}
