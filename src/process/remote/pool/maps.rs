//! One function over many items: cut into chunks, and the results put together again.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::{Receiver, Sender, unbounded};
use crate::ipc::link::Outgoing;
use crate::ipc::parcel::Parcel;
use crate::runtime::Outside;

use super::super::error::{ProcessPanic, TaskError};
use super::super::function::Function;
use super::super::protocol::{self, Reply};
use super::crew::Crew;
use super::error::PoolError;
use super::job::{Job, TaskHandle};

/// What an item came to, as it is sent.
type Sent<R> = Result<R, ProcessPanic>;

/// Whoever waits for many chunks is woken about so many times: for each of them would cost more than a small chunk does.
/// In between he decodes what has come.
const NAPS: usize = 16;

/// The value in a reply.
pub(super) fn value<R: DeserializeOwned>(reply: Reply) -> Result<R, TaskError> {
    match reply {
        Reply::Done(parcel) => Ok(parcel.unpack()?),
        Reply::Panicked(panic) => Err(TaskError::Panicked(panic)),
        Reply::Failed(error) => Err(TaskError::Codec(error)),
    }
}

/// A chunk on its way; cancelled when nobody waits for it any more.
struct Chunk {
    crew: Arc<Crew>,
    job: Arc<Job>,
    length: usize,
}

impl Chunk {
    fn submit<A: Serialize>(
        crew: &Arc<Crew>,
        function: Function,
        items: &[A],
        collector: Option<(Sender<usize>, usize)>,
    ) -> Result<Chunk, TaskError> {
        let parcel = Parcel::pack_after(function.write().to_vec(), &items)?;
        let job = Job::new(Outgoing::new(protocol::JOB, 0, parcel)?, collector);
        crew.submit(&job)?;
        Ok(Chunk {
            crew: crew.clone(),
            job,
            length: items.len(),
        })
    }

    /// Waits for its end; a result for each of its items.
    #[track_caller]
    fn results<R: DeserializeOwned>(&self) -> Vec<Result<R, TaskError>> {
        self.job.wait();
        match self.job.value::<Vec<Sent<R>>>() {
            Ok(results) if results.len() == self.length => {
                let own = |result: Sent<R>| result.map_err(TaskError::Panicked);
                results.into_iter().map(own).collect()
            }
            Ok(_) => all_failed(
                self.length,
                &TaskError::Io(Arc::new(io::ErrorKind::InvalidData.into())),
            ),
            Err(error) => all_failed(self.length, &error),
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.crew.end_waiting(&self.job, TaskError::Cancelled);
    }
}

fn all_failed<R>(length: usize, error: &TaskError) -> Vec<Result<R, TaskError>> {
    (0..length).map(|_| Err(error.clone())).collect()
}

/// All items at once.
#[track_caller]
pub(super) fn all<A, R>(
    crew: &Arc<Crew>,
    items: Vec<A>,
    function: io::Result<Function>,
    chunk: usize,
) -> Vec<Result<R, TaskError>>
where
    A: Serialize,
    R: DeserializeOwned,
{
    let function = match function {
        Ok(function) => function,
        Err(error) => return all_failed(items.len(), &error.into()),
    };
    let count = items.len();
    let mut chunks: VecDeque<_> = items
        .chunks(chunk.max(1))
        .map(|items| {
            Chunk::submit(crew, function, items, None).map_err(|error| (items.len(), error))
        })
        .collect();
    drop(items);
    let mut results = Vec::with_capacity(count);
    let ahead = chunks.len() / NAPS;
    while let Some(chunk) = chunks.pop_front() {
        results.extend(match chunk {
            Ok(chunk) => {
                // One that is some way ahead: when it has ended, most before it have.
                if ahead > 0
                    && !chunk.job.has_ended()
                    && let Some(Ok(later)) = chunks.get(ahead - 1).or(chunks.back())
                {
                    later.job.wait();
                }
                chunk.results()
            }
            Err((length, error)) => all_failed(length, &error),
        });
    }
    results
}

/// The jobs' results as they end.
pub(super) fn as_completed<R>(
    handles: impl IntoIterator<Item = TaskHandle<R>>,
) -> impl Iterator<Item = (usize, Result<R, TaskError>)>
where
    R: DeserializeOwned + 'static,
{
    let (sender, receiver) = unbounded();
    let handles: Vec<_> = handles.into_iter().collect();
    for (place, handle) in handles.iter().enumerate() {
        handle.collect(sender.clone(), place);
    }
    drop(sender);
    std::iter::from_fn(move || {
        let _outside = Outside::here();
        receiver.recv().ok()
    })
    .map(move |place| (place, handles[place].get()))
}

/// What both iterators do: take items, cut chunks, send them off.
struct Feed<I: Iterator> {
    crew: Arc<Crew>,
    items: I,
    function: Result<Function, PoolError>,
    chunk: usize,
    ahead: usize,
}

impl<I: Iterator<Item: Serialize>> Feed<I> {
    fn new(crew: &Arc<Crew>, items: I, function: io::Result<Function>) -> Self {
        Feed {
            crew: crew.clone(),
            items,
            function: function.map_err(PoolError::from),
            chunk: 1,
            ahead: crew.settings.workers.saturating_mul(2),
        }
    }

    /// The next chunk; `None` at the end of the items.
    fn next(
        &mut self,
        collector: Option<(Sender<usize>, usize)>,
    ) -> Option<Result<Chunk, (usize, TaskError)>> {
        let items: Vec<I::Item> = self.items.by_ref().take(self.chunk).collect();
        if items.is_empty() {
            return None;
        }
        let function = self.function.clone().map_err(TaskError::from);
        let sent =
            function.and_then(|function| Chunk::submit(&self.crew, function, &items, collector));
        Some(sent.map_err(|error| (items.len(), error)))
    }
}

/// The results of [`imap`](super::ProcessPool::imap): an iterator, in the items' order.
pub struct IMap<I: Iterator, R> {
    feed: Feed<I>,
    sent: VecDeque<Result<Chunk, (usize, TaskError)>>,
    ready: vec::IntoIter<Result<R, TaskError>>,
}

impl<I: Iterator<Item: Serialize>, R> IMap<I, R> {
    pub(super) fn new(crew: &Arc<Crew>, items: I, function: io::Result<Function>) -> Self {
        IMap {
            feed: Feed::new(crew, items, function),
            sent: VecDeque::new(),
            ready: Vec::new().into_iter(),
        }
    }

    /// Sends items in chunks of so many, at least one: fewer messages for small jobs. One by default.
    #[must_use]
    pub fn chunk(mut self, items: usize) -> Self {
        self.feed.chunk = items.max(1);
        self
    }

    /// Takes so many chunks ahead of the one that is asked for: twice as many as there are workers by default.
    #[must_use]
    pub fn look_ahead(mut self, chunks: usize) -> Self {
        self.feed.ahead = chunks.max(1);
        self
    }
}

impl<I, R> Iterator for IMap<I, R>
where
    I: Iterator<Item: Serialize>,
    R: DeserializeOwned,
{
    type Item = Result<R, TaskError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.next() {
                return Some(result);
            }
            while self.sent.len() < self.feed.ahead {
                match self.feed.next(None) {
                    Some(chunk) => self.sent.push_back(chunk),
                    None => break,
                }
            }
            // Where it is: a wait that is cut short loses none.
            if let Ok(chunk) = self.sent.front()? {
                chunk.job.wait();
            }
            self.ready = match self.sent.pop_front()? {
                Ok(chunk) => chunk.results(),
                Err((length, error)) => all_failed(length, &error),
            }
            .into_iter();
        }
    }
}

/// The results of [`imap_unordered`](super::ProcessPool::imap_unordered): an iterator, each as soon as it is
/// there, with its item's number.
pub struct IMapUnordered<I: Iterator, R> {
    feed: Feed<I>,
    /// Chunks on their way, by number of their first items.
    sent: Vec<(usize, Chunk)>,
    ended: (Sender<usize>, Receiver<usize>),
    next: usize,
    ready: vec::IntoIter<(usize, Result<R, TaskError>)>,
    result: PhantomData<fn() -> R>,
}

impl<I: Iterator<Item: Serialize>, R> IMapUnordered<I, R> {
    pub(super) fn new(crew: &Arc<Crew>, items: I, function: io::Result<Function>) -> Self {
        IMapUnordered {
            feed: Feed::new(crew, items, function),
            sent: Vec::new(),
            ended: unbounded(),
            next: 0,
            ready: Vec::new().into_iter(),
            result: PhantomData,
        }
    }

    /// As [`IMap::chunk`].
    #[must_use]
    pub fn chunk(mut self, items: usize) -> Self {
        self.feed.chunk = items.max(1);
        self
    }

    /// As [`IMap::look_ahead`].
    #[must_use]
    pub fn look_ahead(mut self, chunks: usize) -> Self {
        self.feed.ahead = chunks.max(1);
        self
    }
}

impl<I, R> Iterator for IMapUnordered<I, R>
where
    I: Iterator<Item: Serialize>,
    R: DeserializeOwned,
{
    type Item = (usize, Result<R, TaskError>);

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.next() {
                return Some(result);
            }
            while self.sent.len() < self.feed.ahead {
                let first = self.next;
                match self.feed.next(Some((self.ended.0.clone(), first))) {
                    None => break,
                    Some(Ok(chunk)) => {
                        self.next += chunk.length;
                        self.sent.push((first, chunk));
                    }
                    Some(Err((length, error))) => {
                        self.next += length;
                        self.ready = numbered(first, all_failed(length, &error));
                        break;
                    }
                }
            }
            if self.ready.len() > 0 {
                continue;
            }
            if self.sent.is_empty() {
                return None;
            }
            let _outside = Outside::here();
            let Ok(first) = self.ended.1.recv() else {
                unreachable!("this end sends as well");
            };
            if let Some(at) = self.sent.iter().position(|(number, _)| *number == first) {
                let (_, chunk) = self.sent.swap_remove(at);
                self.ready = numbered(first, chunk.results());
            }
        }
    }
}

fn numbered<R>(
    first: usize,
    results: Vec<Result<R, TaskError>>,
) -> vec::IntoIter<(usize, Result<R, TaskError>)> {
    let numbered: Vec<_> = results
        .into_iter()
        .enumerate()
        .map(|(at, result)| (first + at, result))
        .collect();
    numbered.into_iter()
}

impl<I, R> FusedIterator for IMap<I, R>
where
    I: FusedIterator<Item: Serialize>,
    R: DeserializeOwned,
{
}

impl<I, R> FusedIterator for IMapUnordered<I, R>
where
    I: FusedIterator<Item: Serialize>,
    R: DeserializeOwned,
{
}

impl<I: Iterator, R> fmt::Debug for IMap<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMap")
            .field("on_their_way", &self.sent.len())
            .finish_non_exhaustive()
    }
}

impl<I: Iterator, R> fmt::Debug for IMapUnordered<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMapUnordered")
            .field("on_their_way", &self.sent.len())
            .finish_non_exhaustive()
    }
}
