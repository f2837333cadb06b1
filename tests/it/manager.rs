//! Managers: values, queues and locks in a process that serves them, for all who have a handle or know the key.

mod address;
mod faults;
mod functions;
mod hostile;
mod values;

use std::time::Duration;

use greenloom::ipc::{
    BoundedSemaphore, Condition, Dict, Event, GetError, JoinableQueue, List, Lock, Manager,
    ManagerError, Namespace, PutError, RLock, Semaphore, TaskDoneError, Value,
};
use greenloom::process::Process;

/// Long enough for anything that comes at all.
pub(crate) const LONG: Duration = Duration::from_secs(60);

type Words = Dict<String, Vec<u32>>;

#[test]
fn what_one_process_puts_in_another_finds() {
    let manager = Manager::start().unwrap();
    let (words, list): (Words, List<String>) = (manager.dict().unwrap(), manager.list().unwrap());
    let value = manager.value(&1_u64).unwrap();
    let names = manager.namespace().unwrap();
    fn child((words, list, value, names): (Words, List<String>, Value<u64>, Namespace)) -> usize {
        words.insert("one", &vec![1]).unwrap();
        list.push(&"from the child".to_owned()).unwrap();
        value.set(&(value.get().unwrap() + 1)).unwrap();
        names.set("who", &std::process::id()).unwrap();
        words.get("main").unwrap().unwrap().len()
    }
    words.insert("main", &vec![7, 8]).unwrap();
    let argument = (words.clone(), list.clone(), value.clone(), names.clone());
    let process = Process::spawn(child, argument).unwrap();
    let id = process.id();
    assert_eq!(process.join().unwrap(), 2);
    assert_eq!(words.get("one").unwrap(), Some(vec![1]));
    assert_eq!(list.to_vec().unwrap(), ["from the child"]);
    assert_eq!(value.get().unwrap(), 2);
    assert_eq!(names.get::<u32>("who").unwrap(), Some(id));
    assert_ne!(manager.process_id().unwrap(), std::process::id());
}

#[test]
fn ten_processes_count_down_under_a_lock() {
    let manager = Manager::start().unwrap();
    let (count, lock): (Dict<String, i32>, Lock) =
        (manager.dict().unwrap(), manager.lock().unwrap());
    count.insert("count", &100).unwrap();
    fn decrement((count, lock): (Dict<String, i32>, Lock)) {
        let _guard = lock.acquire().unwrap();
        let left = count.get("count").unwrap().unwrap();
        count.insert("count", &(left - 1)).unwrap();
    }
    let children = [(); 10].map(|()| Process::spawn(decrement, (count.clone(), lock.clone())));
    for child in children {
        child.unwrap().join().unwrap();
    }
    assert_eq!(count.items().unwrap(), [("count".to_owned(), 90)]);
}

#[test]
fn a_queue_ends_by_shutdown_and_keeps_account() {
    let manager = Manager::start().unwrap();
    let (jobs, done) = (
        manager.queue::<u32>().unwrap(),
        manager.queue::<u32>().unwrap(),
    );
    fn work((jobs, done): (JoinableQueue<u32>, JoinableQueue<u32>)) {
        while let Ok(job) = jobs.get() {
            done.put(&(job * 2)).unwrap();
            jobs.task_done().unwrap();
        }
        done.shutdown(false).unwrap();
    }
    let worker = Process::spawn(work, (jobs.clone(), done.clone())).unwrap();
    for job in 0..50 {
        jobs.put(&job).unwrap();
    }
    assert!(jobs.join_timeout(LONG).unwrap());
    assert_eq!(jobs.task_done(), Err(TaskDoneError::TooManyTimes));
    jobs.shutdown(false).unwrap();
    for job in 0..50 {
        assert_eq!(done.get(), Ok(job * 2));
    }
    assert_eq!(done.get(), Err(GetError::Shutdown));
    worker.join().unwrap();

    let narrow = manager.bounded_queue::<u8>(1).unwrap();
    narrow.put(&1).unwrap();
    assert_eq!(narrow.try_put(&2), Err(PutError::Full));
    let soon = Duration::from_millis(5);
    assert_eq!(narrow.put_timeout(&2, soon), Err(PutError::Full));
    assert_eq!(narrow.get(), Ok(1));
    assert_eq!(narrow.try_get(), Err(GetError::Empty));
    assert_eq!(narrow.get_timeout(soon), Err(GetError::Empty));
    assert_eq!(
        manager.bounded_queue::<u8>(0).unwrap_err(),
        ManagerError::Refused
    );
}

#[test]
fn all_that_waits_works_from_a_manager() {
    let manager = Manager::start().unwrap();
    type Signs = (Event, Semaphore, BoundedSemaphore, Condition, RLock);
    let signs: Signs = (
        manager.event().unwrap(),
        manager.semaphore(1).unwrap(),
        manager.bounded_semaphore(1).unwrap(),
        manager.condition().unwrap(),
        manager.rlock().unwrap(),
    );
    let barrier = manager.barrier(2).unwrap();
    let (event, semaphore, bounded, condition, rlock) = signs.clone();
    let held = rlock.acquire().unwrap();
    let again = rlock.acquire().unwrap();
    let child = Process::spawn(
        |(signs, barrier): (Signs, greenloom::ipc::Barrier)| {
            let (event, semaphore, bounded, condition, rlock) = signs;
            assert!(rlock.try_acquire().unwrap().is_none());
            let permit = semaphore.acquire().unwrap();
            let mut guard = condition.acquire().unwrap();
            event.set().unwrap();
            guard.wait().unwrap();
            drop(permit);
            assert!(bounded.release(1).unwrap().is_err());
            barrier.wait().unwrap()
        },
        (signs, barrier.clone()),
    )
    .unwrap();
    assert!(event.wait_timeout(LONG).unwrap());
    drop((held, again));
    assert!(semaphore.try_acquire().unwrap().is_none());
    // It has the condition's lock until it sleeps.
    assert_eq!(condition.acquire().unwrap().notify_one(), Ok(1));
    let place = barrier.wait().unwrap();
    assert_eq!(child.join().unwrap() + place, 1);
    assert_eq!(semaphore.available_permits(), Ok(1));
    assert_eq!(bounded.available_permits(), Ok(1));
}

#[test]
fn names_are_found_and_keep_their_kind() {
    let manager = Manager::start().unwrap();
    let scores = manager.named("scores").list::<u32>().unwrap();
    scores.push(&3).unwrap();
    let again = manager.named("scores").list::<u32>().unwrap();
    assert_eq!(again.to_vec().unwrap(), [3]);
    let other = manager.named("scores").dict::<u32, u32>().unwrap_err();
    let (name, is) = ("scores".to_owned(), "list".to_owned());
    assert_eq!(other, ManagerError::OtherKind { name, is });
    // The first value is kept, as is the first capacity.
    assert_eq!(manager.named("n").value(&1).unwrap().get(), Ok(1));
    assert_eq!(manager.named("n").value(&2).unwrap().get(), Ok(1));
    let mut names = manager.names().unwrap();
    names.sort_unstable();
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!(names, [pair("n", "value"), pair("scores", "list")]);
    // Without a name each is new.
    let (one, other) = (
        manager.list::<u32>().unwrap(),
        manager.list::<u32>().unwrap(),
    );
    one.push(&1).unwrap();
    assert_eq!(other.len(), Ok(0));
}

#[test]
fn a_recursive_lock_is_one_by_whichever_handle() {
    let manager = Manager::start().unwrap();
    let one = manager.named("lock").rlock().unwrap();
    let other = manager.named("lock").rlock().unwrap();
    let held = one.acquire().unwrap();
    let again = other.acquire_timeout(LONG).unwrap();
    assert!(again.is_some(), "this thread has it");
    drop(held);
    let is_free = |lock: RLock| lock.try_acquire().unwrap().is_some();
    let child = Process::spawn(is_free, one.clone());
    assert!(!child.unwrap().join().unwrap());
    drop(again);
    let child = Process::spawn(is_free, one.clone());
    assert!(child.unwrap().join().unwrap());
}

#[test]
fn a_removed_object_is_an_error_to_those_who_wait_for_it() {
    let manager = Manager::start().unwrap();
    let queue = manager.named("jobs").queue::<u32>().unwrap();
    let waiting = std::thread::spawn({
        let queue = queue.clone();
        move || queue.get()
    });
    // Until it waits, or it would find the queue gone, which is the same to it.
    greenloom::sleep(Duration::from_millis(20));
    assert!(manager.remove("jobs").unwrap());
    assert!(!manager.remove("jobs").unwrap());
    assert_eq!(waiting.join().unwrap(), Err(GetError::Disconnected));
    assert_eq!(queue.put(&1), Err(PutError::Disconnected));
    let new = manager.named("jobs").queue::<u32>().unwrap();
    new.put(&2).unwrap();
    assert_eq!(queue.try_get(), Err(GetError::Disconnected));
    assert_eq!(new.get(), Ok(2));
}
