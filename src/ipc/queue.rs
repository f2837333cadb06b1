//! Queues between processes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::io::Limit;
use crate::scheduler::park;

use super::broker::{Answer, Call, Handle, QueueMachine as Machine, Told};
use super::codec::CodecError;
use super::error::{Disconnected, GetError, PutError};

/// A queue that processes share: values go in and come out in order, each to one taker.
///
/// The process that made it serves it, and takes it along when it ends. Others get it in the argument of their
/// function or in a message. It works between the tasks and threads of one process as well. Getters are served in
/// the order in which they came, whichever process they are in. Python's `multiprocessing.Queue`.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::Queue;
/// use greenloom::process::Process;
///
/// fn double((numbers, doubles): (Queue<u32>, Queue<u32>)) {
///     while let Ok(number) = numbers.get() {
///         doubles.put(&(number * 2)).unwrap();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (numbers, doubles) = (Queue::new(), Queue::new());
/// let worker = Process::spawn(double, (numbers.clone(), doubles.clone()))?;
/// (1..=3).for_each(|number| numbers.put(&number).unwrap());
/// numbers.shutdown(false)?; // nothing more will come; what is inside is still taken
/// worker.join()?;
/// assert_eq!([doubles.get()?, doubles.get()?, doubles.get()?], [2, 4, 6]);
/// # Ok(())
/// # }
/// ```
pub struct Queue<T> {
    handle: Handle,
    items: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// Makes a queue that takes whatever is put.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        Queue::of(usize::MAX)
    }

    /// Makes a queue with room for so many items: a put waits while it is full.
    ///
    /// # Panics
    ///
    /// When there would be room for none.
    #[track_caller]
    pub fn bounded(capacity: usize) -> Self {
        assert!(capacity > 0, "an ipc::Queue without room");
        Queue::of(capacity)
    }

    fn of(capacity: usize) -> Self {
        Queue {
            handle: Handle::new(Machine::new(capacity)),
            items: PhantomData,
        }
    }

    /// Puts an item, waiting for room as long as it takes.
    ///
    /// Into a queue without bounds it is put without waiting for anybody: this returns when the item is on its way.
    /// Whatever comes after that, in whatever process, finds it there all the same, and behind all that was put before.
    ///
    /// # Errors
    ///
    /// [`PutError`]: it was shut down, the process that serves it is gone, or the item cannot be encoded.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; the item is then not in the queue, or was in the same moment.
    ///
    /// # Parks
    ///
    /// Of a bounded queue, until that has taken it (`sync.event`, `ipc.recv`); of another, while the connection to the
    /// process that serves it has no room (`ipc.send`).
    #[track_caller]
    pub fn put(&self, item: &T) -> Result<(), PutError>
    where
        T: Serialize,
    {
        self.put_as(Machine::PUT, item, Limit::Never)
    }

    /// As [`put`](Self::put), if there is room now.
    ///
    /// # Errors
    ///
    /// As there, and [`PutError::Full`].
    #[track_caller]
    pub fn try_put(&self, item: &T) -> Result<(), PutError>
    where
        T: Serialize,
    {
        self.put_as(Machine::TRY_PUT, item, Limit::Never)
    }

    /// As [`put`](Self::put), waiting no longer than `timeout`.
    ///
    /// Whether there was room in time in a bounded queue is for the process that serves it to say: if that is stopped,
    /// this waits for it. So it does when a part of a long item has left in time.
    ///
    /// # Errors
    ///
    /// As there, and [`PutError::Full`].
    #[track_caller]
    pub fn put_timeout(&self, item: &T, timeout: Duration) -> Result<(), PutError>
    where
        T: Serialize,
    {
        self.put_as(Machine::PUT, item, Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn put_as(&self, what: u8, item: &T, limit: Limit) -> Result<(), PutError>
    where
        T: Serialize,
    {
        let call = self.handle.pack(what, item).map_err(PutError::Codec)?;
        match self.handle.tell(call, limit)? {
            Told::Ahead => Ok(()),
            Told::Answered(answer) => match answer.what {
                Machine::DONE => Ok(()),
                Machine::SHUT => Err(PutError::Shutdown),
                _ => Err(PutError::Full),
            },
        }
    }

    /// Takes the oldest item, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`GetError`]: it was shut down and is empty, the process that serves it is gone, or the item is no `T`.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits; an item that it was given meanwhile goes to the next, or back to its place.
    ///
    /// # Parks
    ///
    /// While there is none (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn get(&self) -> Result<T, GetError>
    where
        T: DeserializeOwned,
    {
        self.get_as(Machine::GET, Limit::Never)
    }

    /// As [`get`](Self::get), if there is an item now.
    ///
    /// # Errors
    ///
    /// As there, and [`GetError::Empty`].
    #[track_caller]
    pub fn try_get(&self) -> Result<T, GetError>
    where
        T: DeserializeOwned,
    {
        self.get_as(Machine::TRY_GET, Limit::Never)
    }

    /// As [`get`](Self::get), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and [`GetError::Empty`].
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError>
    where
        T: DeserializeOwned,
    {
        self.get_as(Machine::GET, Limit::At(park::deadline(timeout)))
    }

    #[track_caller]
    fn get_as(&self, what: u8, limit: Limit) -> Result<T, GetError>
    where
        T: DeserializeOwned,
    {
        let answer = self.handle.call_in_time(Call::plain(what), limit)?;
        match answer.what {
            Machine::ITEM => self.read(answer).map_err(GetError::Codec),
            Machine::SHUT => Err(GetError::Shutdown),
            _ => Err(GetError::Empty),
        }
    }

    #[track_caller]
    fn read(&self, answer: Answer) -> Result<T, CodecError>
    where
        T: DeserializeOwned,
    {
        if self.handle.link().is_none() {
            return answer.value();
        }
        // Whoever asks a manager may be mistaken about what is there: it is for somebody else.
        let item = answer.parcel.unpack_copy();
        if item.is_err() {
            self.handle.give_back(answer);
        }
        item
    }

    /// How many items are inside. By the time that this is read it may have changed.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn len(&self) -> Result<usize, Disconnected> {
        let answer = self.handle.call(Call::plain(Machine::LOOK), Limit::Never)?;
        Ok(answer.as_number() as usize)
    }

    /// Whether nothing is inside: no sign of an end, which is [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool, Disconnected> {
        Ok(self.len()? == 0)
    }

    /// Ends the stream, for all processes: nothing more can be put; what is inside is still taken, unless this is
    /// `immediate`. Those who wait are told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    #[track_caller]
    pub fn shutdown(&self, immediate: bool) -> Result<(), Disconnected> {
        let call = Call::number(Machine::SHUT_DOWN, u64::from(immediate));
        self.handle.call(call, Limit::Never)?;
        Ok(())
    }
}

/// A [`Queue`] that keeps account of what is done with its items: Python's `multiprocessing.JoinableQueue`.
///
/// # Examples
///
/// ```
/// use greenloom::ipc::JoinableQueue;
/// use greenloom::process::{self, Process};
///
/// fn eat(food: JoinableQueue<String>) {
///     while food.get().is_ok() {
///         food.task_done().unwrap();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let food = JoinableQueue::new();
/// let eater = process::Builder::new().daemon(true).spawn(eat, food.clone())?;
/// food.put(&"bun".to_owned())?;
/// food.join()?; // eaten
/// assert!(food.task_done().is_err(), "nothing is left to be done");
/// # eater.kill()?;
/// # Ok(())
/// # }
/// ```
pub struct JoinableQueue<T> {
    queue: Queue<T>,
}

impl<T> JoinableQueue<T> {
    /// Of a manager.
    pub(super) fn from_manager(handle: Handle) -> Self {
        let items = PhantomData;
        JoinableQueue {
            queue: Queue { handle, items },
        }
    }

    /// Makes a queue that takes whatever is put.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: a service begins"
    )]
    pub fn new() -> Self {
        JoinableQueue {
            queue: Queue::new(),
        }
    }

    /// Makes a queue with room for so many items.
    ///
    /// # Panics
    ///
    /// When there would be room for none.
    #[track_caller]
    pub fn bounded(capacity: usize) -> Self {
        JoinableQueue {
            queue: Queue::bounded(capacity),
        }
    }

    /// Says that an item that was taken is done.
    ///
    /// # Errors
    ///
    /// [`TaskDoneError`]: it was said for every item already, or the process that serves the queue is gone.
    #[track_caller]
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        let answer = self.call(Machine::FINISH, Limit::Never);
        match answer.map_err(TaskDoneError::Disconnected)?.what {
            Machine::DONE => Ok(()),
            _ => Err(TaskDoneError::TooManyTimes),
        }
    }

    /// Waits until every item that was put is done.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    ///
    /// # Parks
    ///
    /// Until then (`sync.event`, `ipc.recv`).
    #[track_caller]
    pub fn join(&self) -> Result<(), Disconnected> {
        self.call(Machine::JOIN, Limit::Never).map(drop)
    }

    /// As [`join`](Self::join), waiting no longer than `timeout`; whether all is done.
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, Disconnected> {
        let answer = self.call(Machine::JOIN, Limit::At(park::deadline(timeout)))?;
        Ok(answer.what == Machine::DONE)
    }

    #[track_caller]
    fn call(&self, what: u8, limit: Limit) -> Result<Answer, Disconnected> {
        Ok(self.queue.handle.call_in_time(Call::plain(what), limit)?)
    }
}

impl<T> Deref for JoinableQueue<T> {
    type Target = Queue<T>;

    fn deref(&self) -> &Queue<T> {
        &self.queue
    }
}

/// Why [`JoinableQueue::task_done`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskDoneError {
    /// It was called more often than items were put.
    TooManyTimes,
    /// The process that serves the queue is gone.
    Disconnected(Disconnected),
}

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskDoneError::TooManyTimes => f.write_str("task_done() called too many times"),
            TaskDoneError::Disconnected(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TaskDoneError {}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue {
            handle: self.handle.clone(),
            items: PhantomData,
        }
    }
}

impl<T> Clone for JoinableQueue<T> {
    fn clone(&self) -> Self {
        JoinableQueue {
            queue: self.queue.clone(),
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.handle).finish()
    }
}

impl<T> fmt::Debug for JoinableQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinableQueue")
            .field(&self.queue.handle)
            .finish()
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<T> Serialize for JoinableQueue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.queue.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Queue {
            handle: Handle::deserialize(deserializer)?,
            items: PhantomData,
        })
    }
}

impl<'de, T> Deserialize<'de> for JoinableQueue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Queue::deserialize(deserializer).map(|queue| JoinableQueue { queue })
    }
}
