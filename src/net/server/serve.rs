//! The server as its user sees it: settings, the handler, the way it ends.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::net::{Listener, Stream, TcpListener, ToSocketAddrs};
use crate::runtime::Handle;
use crate::sync::Semaphore;
use crate::task::{Builder, JoinHandle, home};

use super::accept::Accepter;
use super::connection::{Connection, end_idle};
use super::state::{Report, State, Stopper};

/// Accepts connections and gives each a task.
///
/// * A connection's task runs on the worker that has the fewest of this server's connections, and stays there.
/// * Beyond [`max_connections`](Self::max_connections) nothing is accepted: who comes waits in the system's queue.
/// * When descriptors or memory run out it tries again after a pause of 5 ms to a second, and goes on.
/// * A handler that returns an error or panics ends its own connection. An error is logged once, as a warning; a
///   panic is told as that of any task.
/// * The [`Stopper`] ends it with grace: see [`serve`](Self::serve).
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use greenloom::net::{Server, TcpStream};
///
/// # greenloom::run(|| {
/// let server = Server::bind("127.0.0.1:0")?.max_connections(100);
/// let (address, stopper) = (server.local_addr()?, server.stopper());
/// let serving = greenloom::spawn(move || {
///     server.serve(|connection| {
///         let mut stream = connection.stream();
///         io::copy(&mut stream, &mut connection.stream()).map(drop)
///     })
/// });
///
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"hello")?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
///
/// stopper.stop();
/// let report = serving.join().unwrap()?;
/// assert_eq!((report.accepted, report.served, report.peak), (1, 1, 1));
/// # io::Result::Ok(()) }).unwrap();
/// ```
#[must_use = "a server does nothing until `serve` is called"]
pub struct Server<L: Listener = TcpListener> {
    /// One, or one for each worker.
    listeners: Listeners<L>,
    stopper: Stopper,
    limit: usize,
    drain: Duration,
    name: Arc<str>,
    stack_size: Option<usize>,
}

enum Listeners<L> {
    /// One for all workers.
    Shared(L),
    /// At this address, to be made when the number of workers is known; the first of them holds the place.
    PerWorker {
        first: L,
        another: fn(&L) -> io::Result<L>,
    },
}

impl Server<TcpListener> {
    /// A server that listens at the first of the addresses that can be had.
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Server> {
        TcpListener::bind(address).map(Server::new)
    }

    /// As [`bind`](Self::bind), with a listener on each worker, among which Linux spreads the connections
    /// (SO_REUSEPORT): no connection crosses from one worker to another, but a worker may get more than its share.
    ///
    /// The others listen from [`serve`](Self::serve) on; what has come before that is the first one's.
    ///
    /// Other processes of the same user may then listen at the same address and get a part of its connections.
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::bind`]; the system's where it has no such option.
    pub fn bind_per_worker(address: impl ToSocketAddrs) -> io::Result<Server> {
        let first = TcpListener::bind_shared(address)?;
        Ok(Server::with(Listeners::PerWorker {
            first,
            another: |first| TcpListener::bind_shared(first.local_addr()?),
        }))
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener().local_addr()
    }
}

impl<L: Listener> Server<L> {
    /// A server for a listener that there is already, of TCP or in the file system.
    ///
    /// Its clones, here or in other processes, go on listening when the server has stopped.
    pub fn new(listener: L) -> Server<L> {
        Server::with(Listeners::Shared(listener))
    }

    fn with(listeners: Listeners<L>) -> Server<L> {
        Server {
            listeners,
            stopper: Stopper {
                word: Arc::default(),
            },
            limit: Semaphore::MAX_PERMITS,
            drain: Duration::from_secs(30),
            name: "server".into(),
            stack_size: None,
        }
    }

    /// The listener, or the first of them.
    pub fn listener(&self) -> &L {
        match &self.listeners {
            Listeners::Shared(listener) => listener,
            Listeners::PerWorker { first, .. } => first,
        }
    }

    /// Serves no more than so many connections at the same time; without this, as many as there are descriptors.
    ///
    /// # Panics
    ///
    /// For zero.
    #[track_caller]
    pub fn max_connections(mut self, limit: usize) -> Server<L> {
        assert!(limit > 0, "a server for no connections");
        self.limit = limit.min(Semaphore::MAX_PERMITS);
        self
    }

    /// How long connections may take to end by themselves once the server stops; 30 s without this.
    pub fn drain_timeout(mut self, drain: Duration) -> Server<L> {
        self.drain = drain;
        self
    }

    /// Names its tasks and its lines in the log; "server" without this.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Server<L> {
        self.name = name.into();
        self
    }

    /// Gives each connection's task a stack of so many bytes.
    pub fn stack_size(mut self, bytes: usize) -> Server<L> {
        self.stack_size = Some(bytes);
        self
    }

    /// What stops it. May be asked for before and used before.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until it is stopped, and says what was done.
    ///
    /// A stop goes like this: no more is accepted and the listener is gone; connections that
    /// [wait for a request](Connection::wait_for_request) are ended; the others have the
    /// [time to drain](Self::drain_timeout); what is then left is cancelled. This returns when every handler has
    /// ended.
    ///
    /// # Errors
    ///
    /// What keeps it from accepting for good, after a stop with grace. The system's, when there can be no listener
    /// for each worker.
    ///
    /// # Cancellation
    ///
    /// Cancels its connections and waits for their ends.
    ///
    /// # Parks
    ///
    /// Always (`sync.event`, then `sync.semaphore`).
    #[track_caller]
    pub fn serve<F, E>(self, handler: F) -> io::Result<Report>
    where
        F: Fn(&Connection<L>) -> Result<(), E> + Send + Sync + 'static,
        E: Display,
    {
        let home = home()?;
        let word = self.stopper.word.clone();
        let state = Arc::new(State::new(word.clone(), self.limit, home.workers()));
        let mut running = Running {
            state: state.clone(),
            accepting: Vec::new(),
        };
        let (drain, stack_size) = (self.drain, self.stack_size);
        let (name, handler) = (self.name.clone(), Arc::new(handler));
        for (worker, listener) in self.listeners.listen(&home)? {
            let accepter = Accepter {
                listener: Arc::new(listener),
                state: state.clone(),
                handler: handler.clone(),
                home: home.clone(),
                worker,
                name: name.clone(),
                stack_size,
            };
            running.accept(accepter)?;
        }
        word.stop.wait();
        running.stop_accepting();
        end_idle(&state);
        running.drain(drain);
        drop(running);
        let fault = state
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        fault.map_or_else(|| Ok(state.report()), Err)
    }
}

impl<L: Listener> Listeners<L> {
    /// All listeners, each with the worker whose it is.
    fn listen(self, home: &Handle) -> io::Result<Vec<(Option<usize>, L)>> {
        match self {
            Listeners::Shared(listener) => Ok(vec![(None, listener)]),
            Listeners::PerWorker { first, another } => {
                let others: io::Result<Vec<L>> =
                    (1..home.workers()).map(|_| another(&first)).collect();
                let all = std::iter::once(first).chain(others?);
                Ok(all
                    .enumerate()
                    .map(|(n, listener)| (Some(n), listener))
                    .collect())
            }
        }
    }
}

/// A server at work. Dropped, it leaves nobody behind.
struct Running<S> {
    state: Arc<State<S>>,
    accepting: Vec<JoinHandle<()>>,
}

impl<S: Stream> Running<S> {
    fn accept<L, F, E>(&mut self, accepter: Accepter<L, F>) -> io::Result<()>
    where
        L: Listener<Stream = S>,
        F: Fn(&Connection<L>) -> Result<(), E> + Send + Sync + 'static,
        E: Display,
    {
        let builder = Builder::new().name(format!("{} accepts", accepter.name));
        let (home, worker) = (accepter.home.clone(), accepter.worker.unwrap_or(0));
        let task = builder.spawn_at(&home, worker, || accepter.run())?;
        self.accepting.push(task);
        Ok(())
    }
}

impl<S> Running<S> {
    /// Ends the tasks that accept, and with them the listeners.
    fn stop_accepting(&mut self) {
        for task in &self.accepting {
            task.cancel();
        }
        for task in self.accepting.drain(..) {
            // It ended by itself, or was cancelled: both will do.
            let _ = task.join();
        }
        self.state.ends_accepting();
    }

    /// Waits for all connections, until the time is over or the word comes to cancel them.
    fn drain(&self, time: Duration) {
        if !self.state.is_drained() {
            self.state.word.settled.wait_timeout(time);
        }
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.state.word.stop.set();
        self.stop_accepting();
        self.state.cancel_all();
    }
}

impl<L: Listener> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("listener", self.listener())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
