//! Streams polled by futures: on tasks, on threads, beside tasks that wait.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use greenloom::future::{block_on, spawn_future};
use greenloom::net::{Shutdown, TcpStream, UnixStream};
use greenloom::{Runtime, run, spawn, timeout, try_run, yield_now};

use super::{LONG, on_workers, pair};
use crate::util::{green, virtual_time};

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| Pin::new(&mut &*stream).poll_read(context, buffer)).await
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = poll_fn(|context| Pin::new(&mut &*stream).poll_write(context, bytes)).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

async fn close(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut &*stream).poll_close(context)).await
}

async fn read_to_end(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 8 << 10]);
    loop {
        match read(stream, &mut buffer).await? {
            0 => return Ok(all),
            got => all.extend_from_slice(&buffer[..got]),
        }
    }
}

/// More than the buffers of a connection hold.
fn much() -> Vec<u8> {
    (0..4 << 20).map(|i: u32| (i % 251) as u8).collect()
}

/// Counts its wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a read of one byte once.
fn poll_byte(stream: &TcpStream, waker: &Waker) -> Poll<io::Result<usize>> {
    let mut context = Context::from_waker(waker);
    Pin::new(&mut &*stream).poll_read(&mut context, &mut [0])
}

/// An executor that knows nothing of us.
#[allow(clippy::disallowed_methods)] // It runs on plain threads.
fn drive<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn futures_on_tasks_move_more_than_fits() {
    on_workers(|| {
        let (near, far) = pair();
        let sender = spawn_future(async move {
            write_all(&near, &much()).await?;
            close(&near).await?;
            read_to_end(&near).await
        });
        let echo = spawn_future(async move {
            let all = read_to_end(&far).await?;
            write_all(&far, &all).await
        });
        assert!(sender.join().unwrap().unwrap() == much());
        echo.join().unwrap().unwrap();
    });
}

#[test]
fn a_foreign_executor_on_a_thread_is_woken_by_the_default_runtime() {
    let (near, far) = pair();
    let sender = thread::spawn(move || {
        drive(async {
            write_all(&near, &much()).await?;
            close(&near).await?;
            read_to_end(&near).await
        })
    });
    drive(async {
        let all = read_to_end(&far).await?;
        write_all(&far, &all).await?;
        close(&far).await
    })
    .unwrap();
    assert!(sender.join().unwrap().unwrap() == much());
}

#[test]
fn our_own_block_on_does_on_a_plain_thread() {
    let (near, far) = pair();
    let writer = thread::spawn(move || block_on(write_all(&near, b"word")));
    assert_eq!(block_on(read_to_end(&far)).unwrap(), b"word");
    writer.join().unwrap().unwrap();
}

#[test]
fn unix_streams_do_the_same() {
    green(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let task = spawn(move || far.write_all(b"word"));
        let mut word = [0; 4];
        let got = block_on(poll_fn(|context| {
            Pin::new(&mut &near).poll_read(context, &mut word)
        }));
        assert_eq!((got.unwrap(), &word), (4, b"word"));
        task.join().unwrap().unwrap();
    });
}

#[test]
fn both_directions_wait_at_once_in_one_future() {
    green(|| {
        let (near, far) = pair();
        let echo = spawn(move || io::copy(&mut &far, &mut &far));
        let (sent, all) = block_on(async {
            let mut send = pin!(async {
                write_all(&near, &much()).await?;
                close(&near).await
            });
            let mut receive = pin!(read_to_end(&near));
            let (mut sent, mut all) = (None, None);
            poll_fn(|context| {
                if sent.is_none()
                    && let Poll::Ready(result) = send.as_mut().poll(context)
                {
                    sent = Some(result);
                }
                if all.is_none()
                    && let Poll::Ready(result) = receive.as_mut().poll(context)
                {
                    all = Some(result);
                }
                match sent.is_some() && all.is_some() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            (sent.unwrap(), all.unwrap())
        });
        sent.unwrap();
        assert!(all.unwrap() == much());
        echo.join().unwrap().unwrap();
    });
}

#[test]
fn who_polled_last_is_woken_and_nobody_else() {
    green(|| {
        let (near, mut far) = pair();
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(poll_byte(&near, &first.clone().into()).is_pending());
        assert!(poll_byte(&near, &last.clone().into()).is_pending());
        far.write_all(b"1").unwrap();
        while last.wakes() == 0 {
            yield_now();
        }
        assert_eq!((first.wakes(), last.wakes()), (0, 1));
        assert!(matches!(
            poll_byte(&near, &last.clone().into()),
            Poll::Ready(Ok(1))
        ));
    });
}

#[test]
fn a_dropped_future_is_in_nobodys_way() {
    green(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        let stale = Arc::new(Count::default());
        assert!(poll_byte(&near, &stale.clone().into()).is_pending());
        let theirs = near.clone();
        let reader = spawn(move || (&*theirs).read(&mut [0; 8]));
        yield_now();
        assert_eq!(stale.wakes(), 1, "told that the place was taken");
        far.write_all(b"word").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 4);
        assert_eq!(stale.wakes(), 1);
    });
}

#[test]
fn a_future_that_polls_where_a_task_waits_is_refused() {
    green(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        let theirs = near.clone();
        let reader = spawn(move || (&*theirs).read(&mut [0; 8]));
        yield_now();
        let Poll::Ready(Err(error)) = poll_byte(&near, Waker::noop()) else {
            panic!("not refused");
        };
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        far.write_all(b"word").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 4);
    });
}

#[test]
fn the_stream_lets_go_of_the_waker_when_it_answers_and_when_it_goes() {
    green(|| {
        let (near, mut far) = pair();
        let count = Arc::new(Count::default());
        assert!(poll_byte(&near, &count.clone().into()).is_pending());
        assert_eq!(Arc::strong_count(&count), 2);
        far.write_all(b"1").unwrap();
        while poll_byte(&near, Waker::noop()).is_pending() {
            yield_now();
        }
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(poll_byte(&near, &count.clone().into()).is_pending());
        drop(near);
        assert_eq!(Arc::strong_count(&count), 1);
    });
}

#[test]
fn a_cancelled_task_drops_its_future_and_the_stream_goes_on() {
    green(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        for round in 0..10 {
            let theirs = near.clone();
            let task = spawn_future(async move { read(&theirs, &mut [0; 8]).await });
            for _ in 0..round % 3 {
                yield_now();
            }
            task.cancel();
            let _ = task.join();
        }
        far.write_all(b"word").unwrap();
        let mut word = [0; 8];
        assert_eq!(block_on(read(&near, &mut word)).unwrap(), 4);
        assert_eq!(Arc::strong_count(&near), 1);
    });
}

#[test]
fn a_time_out_of_a_future_that_polls_comes_in_virtual_time() {
    virtual_time(|| {
        let (near, _far) = pair();
        let second = Duration::from_secs(1);
        assert!(timeout(second, || block_on(read(&near, &mut [0; 8]))).is_err());
    });
}

#[test]
#[allow(clippy::disallowed_methods)] // A plain thread sleeps.
fn a_future_that_waits_for_a_stream_is_no_deadlock() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = UnixStream::try_from(near).unwrap();
    let (tell, told) = mpsc::channel();
    let writer = thread::spawn(move || {
        told.recv().unwrap();
        // real sleep: lets the other side come to its wait; right either way.
        thread::sleep(Duration::from_millis(20));
        far.write_all(b"word").unwrap();
    });
    let got = try_run(|| {
        block_on(async {
            tell.send(()).unwrap();
            poll_fn(|context| Pin::new(&mut &near).poll_read(context, &mut [0; 8])).await
        })
    });
    assert_eq!(got.unwrap().unwrap(), 4);
    writer.join().unwrap();
}

#[test]
fn close_wakes_the_poller_with_an_error() {
    green(|| {
        let (near, _far) = pair();
        let near = Arc::new(near);
        let theirs = near.clone();
        let task = spawn_future(async move { read(&theirs, &mut [0; 8]).await });
        yield_now();
        near.close();
        let error = task.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_poller_whose_runtime_has_stopped_is_watched_by_the_next() {
    let (near, mut far) = pair();
    run(|| assert!(poll_byte(&near, Waker::noop()).is_pending()));
    run(|| {
        let task = spawn(move || far.write_all(b"1"));
        assert_eq!(block_on(read(&near, &mut [0; 8])).unwrap(), 1);
        task.join().unwrap().unwrap();
    });
    let (near, mut far) = pair();
    let gone = Runtime::builder().workers(1).build().unwrap();
    let near = gone.block_on(move || {
        assert!(poll_byte(&near, Waker::noop()).is_pending());
        near
    });
    drop(gone);
    let reader = thread::spawn(move || drive(read(&near, &mut [0; 8])));
    far.write_all(b"1").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 1);
}

#[test]
fn a_stream_that_is_always_ready_leaves_the_worker_to_others() {
    green(|| {
        let (near, mut far) = pair();
        far.write_all(&[1; 1000]).unwrap();
        let reader = spawn_future(async move {
            for _ in 0..1000 {
                read(&near, &mut [0]).await.unwrap();
            }
        });
        let mut turns = 0;
        while !reader.is_finished() {
            turns += 1;
            yield_now();
        }
        reader.join().unwrap();
        assert!(turns > 5, "{turns}");
    });
}

#[test]
fn a_half_closed_peer_reads_on() {
    green(|| {
        let (near, mut far) = pair();
        block_on(async {
            write_all(&near, b"all of it").await.unwrap();
            close(&near).await.unwrap();
            close(&near).await.unwrap();
        });
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all of it");
        far.write_all(b"and back").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(block_on(read_to_end(&near)).unwrap(), b"and back");
    });
}

#[test]
fn many_streams_between_tasks_and_threads() {
    let threads: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..50 {
                    let (near, far) = pair();
                    let echo = spawn_future(async move {
                        let mut byte = [0];
                        while read(&far, &mut byte).await? > 0 {
                            write_all(&far, &byte).await?;
                        }
                        io::Result::Ok(())
                    });
                    drive(async {
                        for i in 0..20 {
                            write_all(&near, &[i]).await.unwrap();
                            let mut byte = [0];
                            assert_eq!(read(&near, &mut byte).await.unwrap(), 1);
                            assert_eq!(byte, [i]);
                        }
                    });
                    drop(near);
                    echo.join().unwrap().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A waker that does what wakers should not do.
struct Rude(fn());

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn a_waker_that_panics_or_waits_harms_no_worker() {
    // Whom the worker wakes while it looks at the outside world, on its own stack.
    let rude: [fn(); 3] = [
        || panic!("a waker that fails"),
        || greenloom::sleep(LONG),
        || drop(spawn(|| ()).join()),
    ];
    for rude in rude {
        run(|| {
            let (near, far) = pair();
            let waker = Waker::from(Arc::new(Rude(rude)));
            assert!(poll_byte(&near, &waker).is_pending());
            (&far).write_all(&[1]).unwrap();
            let done = timeout(LONG, || {
                // Until the event has come.
                while poll_byte(&near, Waker::noop()).is_pending() {
                    yield_now();
                }
                spawn(|| 7).join().unwrap()
            });
            assert_eq!(done.unwrap(), 7);
        });
    }
}
