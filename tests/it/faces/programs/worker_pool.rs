//! A pool of workers that share the receiver of a channel of boxed jobs.

use super::facade::sync::mpsc::{self, Receiver, Sender};
use super::facade::sync::{Arc, Mutex};
use super::facade::thread::{self, JoinHandle};

type Job = Box<dyn FnOnce(usize) + Send>;

struct Pool {
    sender: Option<Sender<Job>>,
    workers: Vec<Worker>,
}

struct Worker {
    id: usize,
    thread: Option<JoinHandle<usize>>,
}

impl Worker {
    fn start(id: usize, jobs: Arc<Mutex<Receiver<Job>>>) -> Worker {
        let thread = thread::spawn(move || {
            let mut done = 0;
            loop {
                let job = jobs.lock().unwrap().recv();
                match job {
                    Ok(job) => job(id),
                    Err(_) => break done,
                }
                done += 1;
            }
        });
        Worker {
            id,
            thread: Some(thread),
        }
    }
}

impl Pool {
    fn new(size: usize) -> Pool {
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let workers = (0..size)
            .map(|id| Worker::start(id, Arc::clone(&receiver)))
            .collect();
        Pool {
            sender: Some(sender),
            workers,
        }
    }

    fn execute(&self, job: impl FnOnce(usize) + Send + 'static) {
        let sender = self.sender.as_ref().expect("it is not closed");
        sender.send(Box::new(job)).unwrap();
    }

    fn close(&mut self) -> usize {
        drop(self.sender.take());
        let mut done = 0;
        for worker in &mut self.workers {
            assert!(worker.id < 4);
            if let Some(thread) = worker.thread.take() {
                done += thread.join().unwrap();
            }
        }
        done
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn main() -> String {
    let mut pool = Pool::new(4);
    let (results, collected) = mpsc::channel();
    for n in 1..=40u64 {
        let results = results.clone();
        pool.execute(move |worker| {
            thread::yield_now();
            results.send((worker, n * n)).unwrap();
        });
    }
    drop(results);
    let done = pool.close();
    let sum = collected.iter().map(|(_, square)| square).sum::<u64>();
    let by = pool.workers.len();
    format!("{done} jobs by {by} workers, sum of squares {sum}")
}
