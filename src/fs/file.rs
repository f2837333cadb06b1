//! An open file, whose position is well defined whatever is cancelled.
//!
//! The position is the kernel's, and one job at a time moves it. A job whose task is gone runs on; whoever
//! comes next waits for it, and takes over what it came to:
//!
//! | cancelled | what the next one finds |
//! |---|---|
//! | a read | its bytes, *unread*: the next read gets them, anything else first steps back behind them |
//! | a write | it was done; its error comes out of the next write, flush or sync |
//! | a seek | it was done, or was not |

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use crate::base::finally::Finally;
use crate::blocking::unblock;
use crate::sync::{Mutex, MutexGuard};

use super::desk::Begun;
use super::options::OpenOptions;

/// What one job reads or writes, at most.
const CHUNK: usize = 256 * 1024;

/// Memory of a read that stays with its file for the next one, at most.
const KEPT: usize = 16 * 1024;

/// An open file: [`std::fs::File`], but only the task waits.
///
/// Reading and writing move one position, also by `&File` and by clones from [`try_clone`](Self::try_clone);
/// one call at a time, first come, first served. Every call is a job on another thread: wrap it into a
/// [`BufReader`](std::io::BufReader) or [`BufWriter`](std::io::BufWriter) for small ones. A read that waits, of
/// a named pipe or a terminal, keeps writes by the same file waiting: open it twice, or use
/// [`io::Evented`](crate::io::Evented).
///
/// # Cancellation
///
/// Every method unwinds where it waits, and the file stays usable. A read that is cancelled has not happened: the next
/// one gets the bytes. A write that is cancelled has happened, as far as a write goes; an error of it comes out
/// of the next write or `flush`. It happens with what was given, for jobs have buffers of their own.
///
/// # Parks
///
/// In all methods but the conversions: `blocking.unblock`, and `sync.mutex` behind other calls.
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// # greenloom::run(|| {
/// let mut text = String::new();
/// greenloom::fs::File::open("Cargo.toml")?.read_to_string(&mut text)?;
/// assert!(text.contains("[package]"));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct File {
    shared: Arc<Shared>,
}

struct Shared {
    file: std::fs::File,
    place: Mutex<Place>,
    /// Whether somebody has locked it and not unlocked it since. Held over calls that do not wait, and over what
    /// unlocks what nobody wants any more: a lock is the open file's, so it would take that of others as well.
    is_locked: std::sync::Mutex<bool>,
}

/// What is true of the position.
#[derive(Default)]
struct Place {
    /// A job that perhaps nobody waits for any more.
    begun: Option<Begun<Outcome>>,
    /// Read and not asked for: the kernel's position is behind it.
    unread: Vec<u8>,
    /// How much of `unread` was given out since.
    given: usize,
    /// Of a write whose task was cancelled.
    error: Option<io::Error>,
}

enum Outcome {
    Read(io::Result<Vec<u8>>),
    Wrote(io::Result<usize>),
    Sought(io::Result<u64>),
}

impl File {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`].
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to be written, emptied or made.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`].
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file to be read and written.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`]: `AlreadyExists`, among others.
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// As [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Another handle of the same open file, with the same position. Never parks and never fails.
    ///
    /// # Errors
    ///
    /// None; std's may lack a descriptor for it, this needs none.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File {
            shared: self.shared.clone(),
        })
    }

    /// As std's file; its position is this one's.
    ///
    /// # Errors
    ///
    /// When there is another handle of it and no descriptor for a copy, or the position cannot be stepped back behind what
    /// a cancelled read has read; an error of a cancelled write.
    #[track_caller]
    pub fn into_std(self) -> io::Result<std::fs::File> {
        let place = self.at_its_place();
        let mut place = self.step_back(place)?;
        place.check()?;
        drop(place);
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => Ok(shared.file),
            Err(shared) => unblock(move || shared.file.try_clone()),
        }
    }

    /// Waits until all that was written, and what is known of the file, is on its disk.
    ///
    /// # Errors
    ///
    /// The system's; an error of a cancelled write.
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        self.at_its_place().check()?;
        self.job(std::fs::File::sync_all)
    }

    /// As [`sync_all`](Self::sync_all), without what is not needed to read it again.
    ///
    /// # Errors
    ///
    /// As `sync_all`.
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        self.at_its_place().check()?;
        self.job(std::fs::File::sync_data)
    }

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`].
    #[track_caller]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        let place = self.at_its_place();
        // What was read before it is cut is not read after.
        let _place = self.step_back(place)?;
        self.job(move |file| file.set_len(size))
    }

    /// What is known of the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`].
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.job(std::fs::File::metadata)
    }

    /// Says who may do what with it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_permissions`].
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.job(move |file| file.set_permissions(permissions))
    }

    /// Sets when it was read and changed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_times`].
    #[track_caller]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.job(move |file| file.set_times(times))
    }

    /// Sets when it was changed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_modified`].
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Locks the file against other processes and other opens of it, waiting as long as it takes; on a blocking
    /// thread, which is taken until then. Cancelled, it is not locked.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::lock`].
    #[track_caller]
    pub fn lock(&self) -> io::Result<()> {
        self.lock_by(std::fs::File::lock, std::fs::File::try_lock)
    }

    /// As [`lock`](Self::lock), beside others that lock so.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::lock_shared`].
    #[track_caller]
    pub fn lock_shared(&self) -> io::Result<()> {
        self.lock_by(std::fs::File::lock_shared, std::fs::File::try_lock_shared)
    }

    /// Locks the file if that is possible at once.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_lock`].
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.shared.lock_at_once(std::fs::File::try_lock)
    }

    /// As [`try_lock`](Self::try_lock), beside others that lock so.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_lock_shared`].
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.shared.lock_at_once(std::fs::File::try_lock_shared)
    }

    /// Unlocks it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::unlock`].
    pub fn unlock(&self) -> io::Result<()> {
        let mut is_locked = self.shared.is_locked();
        *is_locked = false;
        self.shared.file.unlock()
    }

    #[track_caller]
    fn lock_by(
        &self,
        lock: fn(&std::fs::File) -> io::Result<()>,
        lock_at_once: fn(&std::fs::File) -> Result<(), TryLockError>,
    ) -> io::Result<()> {
        loop {
            let shared = self.shared.clone();
            let locked = unblock(move || {
                lock(&shared.file)?;
                // When the one who has asked is gone by then.
                io::Result::Ok(Finally::new(move || shared.unlock_unwanted()))
            })?;
            // Another one's that nobody wants may have been unlocked just now, and ours with it.
            match self.shared.lock_at_once(lock_at_once) {
                Err(TryLockError::WouldBlock) => drop(locked),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// A job that has nothing to do with the position.
    #[track_caller]
    fn job<T: Send + 'static>(
        &self,
        job: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = self.shared.clone();
        unblock(move || job(&shared.file))
    }

    /// The right to the position, when the jobs of those before have ended.
    #[track_caller]
    fn at_its_place(&self) -> MutexGuard<'_, Place> {
        let place = self.shared.place.lock();
        let mut place = place.unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = &place.begun {
            begun.wait();
        }
        match place.outcome() {
            Some(Outcome::Read(Ok(bytes))) => place.keep(bytes),
            Some(Outcome::Wrote(Err(error))) => place.error = Some(error),
            // The next read will meet it again, if it is one that lasts.
            _ => {}
        }
        place
    }

    /// Has a job of the position run; if this unwinds, the job is found again.
    #[track_caller]
    fn run(
        &self,
        place: &mut Place,
        job: impl FnOnce(&std::fs::File) -> Outcome + Send + 'static,
    ) -> Option<Outcome> {
        let shared = self.shared.clone();
        let begun = place.begun.insert(Begun::new());
        begun.run(move || job(&shared.file));
        place.outcome()
    }

    /// Moves the kernel's position back behind what was read and not asked for.
    #[track_caller]
    fn step_back<'a>(&self, mut place: MutexGuard<'a, Place>) -> io::Result<MutexGuard<'a, Place>> {
        let unread = place.rest().len();
        if unread > 0 {
            (&self.shared.file).seek(SeekFrom::Current(-(unread as i64)))?;
            place.keep(Vec::new());
        }
        Ok(place)
    }

    #[track_caller]
    fn read_some(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut place = self.at_its_place();
        if place.rest().is_empty() {
            let mut bytes = place.memory();
            bytes.resize(buf.len().min(CHUNK), 0);
            let outcome = self.run(&mut place, move |file| Outcome::Read(read(file, bytes)));
            match outcome {
                Some(Outcome::Read(bytes)) => place.keep(bytes?),
                _ => return Err(not_run()),
            }
        }
        Ok(place.give(buf))
    }

    #[track_caller]
    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        let place = self.at_its_place();
        let mut place = match self.step_back(place) {
            Ok(place) => place,
            // A pipe or a terminal: what comes in has nothing to do with what goes out.
            Err(error) if error.kind() == ErrorKind::NotSeekable => self.at_its_place(),
            Err(error) => return Err(error),
        };
        place.check()?;
        let bytes = buf[..buf.len().min(CHUNK)].to_vec();
        let outcome = self.run(&mut place, move |mut file| {
            Outcome::Wrote(again(|| file.write(&bytes)))
        });
        match outcome {
            Some(Outcome::Wrote(written)) => written,
            _ => Err(not_run()),
        }
    }

    #[track_caller]
    fn seek_to(&self, to: SeekFrom) -> io::Result<u64> {
        let place = self.at_its_place();
        let mut place = self.step_back(place)?;
        let outcome = self.run(&mut place, move |mut file| Outcome::Sought(file.seek(to)));
        match outcome {
            Some(Outcome::Sought(position)) => position,
            _ => Err(not_run()),
        }
    }

    #[track_caller]
    fn read_all(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        /// Takes back what was only made room for, on every way out.
        struct Room<'a>(&'a mut Vec<u8>, usize);
        impl Drop for Room<'_> {
            fn drop(&mut self) {
                self.0.truncate(self.1);
            }
        }
        let before = buf.len();
        let mut room = Room(buf, before);
        let mut chunk = 8 * 1024;
        loop {
            let start = room.1;
            room.0.resize(start + chunk, 0);
            let read = self.read_some(&mut room.0[start..])?;
            room.1 += read;
            if read == 0 {
                return Ok(start - before);
            }
            if read == chunk {
                chunk = (chunk * 4).min(CHUNK);
            }
        }
    }
}

impl Shared {
    fn is_locked(&self) -> std::sync::MutexGuard<'_, bool> {
        // Nothing that can panic runs under it.
        self.is_locked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_at_once(
        &self,
        lock: fn(&std::fs::File) -> Result<(), TryLockError>,
    ) -> Result<(), TryLockError> {
        let mut is_locked = self.is_locked();
        lock(&self.file)?;
        *is_locked = true;
        Ok(())
    }

    /// Unlocks it unless somebody else has locked it since.
    fn unlock_unwanted(&self) {
        let is_locked = self.is_locked();
        if !*is_locked {
            // Nobody is there to hear of an error.
            let _ = self.file.unlock();
        }
    }
}

fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn read(mut file: &std::fs::File, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let read = again(|| file.read(&mut bytes))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The runtime has stopped before the job was run.
fn not_run() -> io::Error {
    io::Error::other("the file was not reached: no blocking thread has run the job")
}

impl Place {
    /// What the job came to, which has ended.
    fn outcome(&mut self) -> Option<Outcome> {
        self.begun.take()?.take()
    }

    fn rest(&self) -> &[u8] {
        &self.unread[self.given..]
    }

    fn keep(&mut self, bytes: Vec<u8>) {
        self.unread = bytes;
        self.given = 0;
    }

    /// Memory of what was given out, for the next job.
    fn memory(&mut self) -> Vec<u8> {
        self.given = 0;
        std::mem::take(&mut self.unread)
    }

    fn give(&mut self, buf: &mut [u8]) -> usize {
        let rest = self.rest();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.given += len;
        if self.rest().is_empty() && self.unread.capacity() > KEPT {
            self.keep(Vec::new());
        }
        len
    }

    /// Tells the error of a cancelled write, once.
    fn check(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// For `File` and `&File` alike.
macro_rules! streams {
    ($($File:ty),*) => {$(
        impl Read for $File {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.read_some(buf)
            }

            #[track_caller]
            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
                self.read_all(buf)
            }
        }

        impl Write for $File {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.write_some(buf)
            }

            /// Nothing is buffered; it tells the error of a cancelled write.
            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                self.at_its_place().check()
            }
        }

        impl Seek for $File {
            #[track_caller]
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.seek_to(to)
            }
        }
    )*};
}

streams!(File, &File);

/// Reads and writes beside the position.
impl FileExt for File {
    #[track_caller]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buf.len().min(CHUNK);
        let bytes = self.job(move |file| {
            let mut bytes = vec![0; len];
            let read = again(|| file.read_at(&mut bytes, offset))?;
            bytes.truncate(read);
            Ok(bytes)
        })?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    #[track_caller]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let bytes = buf[..buf.len().min(CHUNK)].to_vec();
        self.job(move |file| again(|| file.write_at(&bytes, offset)))
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        File {
            shared: Arc::new(Shared {
                file,
                place: Mutex::default(),
                is_locked: std::sync::Mutex::default(),
            }),
        }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        std::fs::File::from(fd).into()
    }
}

/// For a program's standard streams; it shares the position.
///
/// # Panics
///
/// Where [`into_std`](File::into_std) gives an error: there is no descriptor for a copy, or a cancelled write has
/// failed.
impl From<File> for Stdio {
    #[track_caller]
    fn from(file: File) -> Stdio {
        match file.into_std() {
            Ok(file) => file.into(),
            Err(error) => panic!("a file as a standard stream: {error}"),
        }
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.file.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.file.fmt(f)
    }
}
