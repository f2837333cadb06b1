//! A manager that this process serves, at an address.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;

use crate::ipc::address::{Address, Listener};
use crate::ipc::broker::Link;
use crate::ipc::handshake::Key;

use super::client::Manager;
use super::door::Door;
use super::functions::Functions;

/// Serves a [`Manager`] from this process, for all who know its address and its key: the server of Python's
/// `multiprocessing.managers.BaseManager`.
///
/// It serves from the moment that this is made until it is dropped, on a thread of its own: nothing has to be called or
/// waited for. At its end all clients are disconnected, and what was inside is gone.
///
/// # Who gets in
///
/// Client and server each prove that they know the key, by HMAC-SHA-256 over fresh random numbers; until then nothing
/// that a stranger sends is believed, not even a length. A stranger has ten seconds, and there are at most 128 of them at
/// a time: beyond that, the one who has been there longest has to go. Who listens on the way sees enough to test guesses
/// at the key: take one that cannot be guessed, such as 32 random bytes. What follows is neither encrypted nor signed; for
/// networks that are not your own, use a tunnel.
///
/// Who knows the key may do anything with the objects, and has the memory of this process at his disposal; but he can
/// run nothing in it except the functions that were [named](Functions).
///
/// # Examples
///
/// ```
/// use greenloom::ipc::{Functions, Manager, ManagerServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut functions = Functions::new();
/// functions.value("add", |n: &mut i64, by: i64| *n += by);
/// # let folder = std::env::temp_dir().join(format!("greenloom-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("counter.socket");
/// let server = ManagerServer::bind_with(&path, b"a key that is hard to guess", functions)?;
///
/// // In another process:
/// let manager = Manager::connect(&path, b"a key that is hard to guess")?;
/// let count = manager.named("count").value(&0_i64)?;
/// count.update::<_, ()>("add", &5)?;
/// assert_eq!(count.get()?, 5);
/// drop(server);
/// assert!(count.get().is_err());
/// # std::fs::remove_dir(folder)?;
/// # Ok(())
/// # }
/// ```
pub struct ManagerServer {
    door: Arc<Door>,
    link: Arc<Link>,
    /// The file of the socket, by device and number: it goes when this goes, if it is still the same.
    file: Option<(u64, u64)>,
}

impl ManagerServer {
    /// Serves at an address: a path that does not exist, or an address of a network, whose port is chosen by the system
    /// if it is 0.
    ///
    /// # Errors
    ///
    /// What the system says of the address; `InvalidInput` for an empty key.
    pub fn bind(address: impl Into<Address>, key: impl AsRef<[u8]>) -> io::Result<ManagerServer> {
        ManagerServer::bind_with(address, key, Functions::new())
    }

    /// As [`bind`](Self::bind), with functions that clients may have run.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn bind_with(
        address: impl Into<Address>,
        key: impl AsRef<[u8]>,
        functions: Functions,
    ) -> io::Result<ManagerServer> {
        let key = Key::new(key.as_ref())?;
        let (listener, address) = Listener::bind(&address.into())?;
        let file = address.as_path().and_then(|path| {
            let file = fs::symlink_metadata(path).ok()?;
            Some((file.dev(), file.ino()))
        });
        let door = Door::open(listener, address, key, functions)?;
        let server = ManagerServer {
            link: door.link()?,
            door,
            file,
        };
        Ok(server)
    }

    /// Where it is: with the port that the system chose.
    pub fn address(&self) -> &Address {
        self.door.address()
    }

    /// The manager, for this process, which needs no key.
    pub fn manager(&self) -> Manager {
        Manager::over(self.link.clone())
    }
}

impl Drop for ManagerServer {
    fn drop(&mut self) {
        self.door.close();
        if let (Some(path), Some(own)) = (self.address().as_path(), self.file)
            && let Ok(file) = fs::symlink_metadata(path)
            && file.file_type().is_socket()
            && (file.dev(), file.ino()) == own
        {
            let _ = fs::remove_file(path);
        }
    }
}

impl fmt::Debug for ManagerServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerServer")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}
