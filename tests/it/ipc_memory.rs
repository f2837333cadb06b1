//! Memory that processes share: `SharedMemory`, `SharedValue`, `SharedArray`.

use std::time::Duration;

use greenloom::ipc::{Event, SharedArray, SharedMemory, SharedValue, pipe};
use greenloom::process::{Builder, Process};
use greenloom::spawn;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(60);

fn shared_files() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("memfd:greenloom"))
        .count()
}

#[test]
fn a_child_sees_what_is_written_and_writes_what_is_seen() {
    let memory = SharedMemory::new(10_000).unwrap();
    assert_eq!(memory.len(), 10_000);
    memory.write(9_990, b"0123456789");
    let child = Process::spawn(
        |memory: SharedMemory| {
            let mut text = [0; 10];
            memory.read(9_990, &mut text);
            memory.write(1, &text);
        },
        memory.clone(),
    );
    child.unwrap().join().unwrap();
    let mut text = [9; 12];
    memory.read(0, &mut text);
    assert_eq!(&text, b"\x000123456789\0");
}

#[test]
fn a_value_without_a_size_is_one_all_the_same() {
    let nothing = SharedValue::new(()).unwrap();
    nothing.set(());
    nothing.get();
    nothing.lock().unwrap().replace(());
    let child = Process::spawn(|nothing: SharedValue<()>| nothing.get(), nothing.clone());
    child.unwrap().join().unwrap();
    assert!(SharedArray::<()>::new(3).unwrap().is_empty());
}

#[test]
fn what_is_not_inside_is_refused() {
    fn panics(f: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
    }
    let memory = SharedMemory::new(8).unwrap();
    memory.write(8, &[]);
    assert!(panics(|| memory.write(8, &[1])));
    assert!(panics(|| memory.write(usize::MAX, &[1])));
    assert!(panics(|| memory.read(1, &mut [0; 8])));
    let array = SharedArray::<u32>::new(2).unwrap();
    assert!(panics(|| _ = array.get(2)));
    assert!(panics(|| array.set(usize::MAX / 4, 0)));
    assert!(panics(|| array.write(1, &[1, 2])));
    assert!(SharedArray::<u64>::new(usize::MAX).is_err());
    assert!(SharedMemory::new(0).unwrap().len() == 0);
    assert!(SharedArray::<u64>::new(0).unwrap().is_empty());
}

/// Soundness: the other process writes all the while, and every word that is read is one that was written.
#[test]
fn words_are_whole_while_another_process_writes() {
    let memory = SharedMemory::new(64).unwrap();
    let stop = Event::new();
    let writer = Builder::new().daemon(true).spawn(
        |(memory, stop): (SharedMemory, Event)| {
            let mut byte = 0u8;
            while !stop.is_set().unwrap() {
                for _ in 0..1000 {
                    byte = byte.wrapping_add(1);
                    memory.write(0, &[byte; 64]);
                }
            }
        },
        (memory.clone(), stop.clone()),
    );
    let writer = writer.unwrap();
    for _ in 0..20_000 {
        let mut bytes = [0; 64];
        memory.read(0, &mut bytes);
        for word in bytes.chunks(size_of::<usize>()) {
            assert!(word.iter().all(|byte| *byte == word[0]), "{bytes:?}");
        }
    }
    stop.set().unwrap();
    writer.join().unwrap();
}

#[test]
fn a_value_under_its_lock_loses_nothing() {
    let total = SharedValue::new(0u64).unwrap();
    let add = |total: SharedValue<u64>| {
        for _ in 0..50 {
            total.lock().unwrap().update(|n| n + 1);
        }
    };
    let children: Vec<_> = (0..4)
        .map(|_| Process::spawn(add, total.clone()).unwrap())
        .collect();
    let theirs = total.clone();
    let task = spawn(move || add(theirs));
    let plain = total.clone();
    let thread = std::thread::spawn(move || add(plain));
    task.join().unwrap();
    thread.join().unwrap();
    for child in children {
        child.join().unwrap();
    }
    assert_eq!(total.get(), 300);
    let mut guard = total.lock().unwrap();
    assert_eq!(guard.replace(7), 300);
    assert!(
        total
            .lock_timeout(Duration::from_millis(5))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_holder_that_dies_lets_go_and_is_told_of() {
    let (total, held) = (SharedValue::new(1u8).unwrap(), Event::new());
    let holder = Process::spawn(
        |(total, held): (SharedValue<u8>, Event)| {
            let mut guard = total.lock().unwrap();
            guard.set(2);
            held.set().unwrap();
            greenloom::sleep(LONG);
        },
        (total.clone(), held.clone()),
    );
    let holder = holder.unwrap();
    assert!(held.wait_timeout(LONG).unwrap());
    holder.kill().unwrap();
    let guard = total.lock_timeout(LONG).unwrap().expect("it is let go of");
    assert!(guard.is_abandoned());
    assert_eq!(guard.get(), 2);
}

#[test]
fn an_array_goes_through_a_pipe_and_back() {
    let (left, right) = pipe::<SharedArray<i16>, SharedArray<i16>>().unwrap();
    let array = SharedArray::from_slice(&[1, -2, 3]).unwrap();
    left.send(&array).unwrap();
    let same = right.recv().unwrap();
    same.lock().unwrap().update(1, |n| n * 10);
    drop(right);
    assert_eq!(array.to_vec(), [1, -20, 3]);
    let mut two = [0; 2];
    same.read(1, &mut two);
    assert_eq!(two, [-20, 3]);
    assert_eq!(same.len(), 3);
}

#[test]
fn it_is_freed_with_the_last_handle() {
    // In a process of its own, where no other test has memory.
    let counts = Process::spawn(
        |()| {
            let before = shared_files();
            let memories: Vec<_> = (0..5).map(|_| SharedMemory::new(4096).unwrap()).collect();
            let clones = memories.clone();
            let during = shared_files();
            drop(memories);
            let still = shared_files();
            drop(clones);
            let (left, right) = pipe::<SharedMemory, SharedMemory>().unwrap();
            left.send(&SharedMemory::new(1).unwrap()).unwrap();
            drop(right.recv().unwrap());
            (before, during, still, shared_files())
        },
        (),
    );
    assert_eq!(counts.unwrap().join().unwrap(), (0, 5, 5, 0));
}
