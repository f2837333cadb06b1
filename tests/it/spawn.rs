//! Spawning and joining.

use std::time::Duration;

use greenloom::{Runtime, run, spawn, yield_now};

#[test]
fn a_task_gives_its_value_to_whoever_joins_it() {
    assert_eq!(run(|| spawn(|| 1).join().unwrap()), 1);
}

#[test]
fn tasks_start_in_the_order_of_their_spawning() {
    let order = Runtime::builder().workers(1).run(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        for n in 0..10 {
            let sender = sender.clone();
            drop(spawn(move || sender.send(n).unwrap()));
        }
        yield_now();
        receiver.try_iter().collect::<Vec<_>>()
    });
    assert_eq!(order.unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_spawn_outside_of_any_runtime_goes_to_the_default_one() {
    assert_eq!(spawn(|| spawn(|| 5).join().unwrap()).join().unwrap(), 5);
}

#[test]
fn a_tree_of_tasks_sums_up() {
    fn tree(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let tasks: Vec<_> = (0..10).map(|_| spawn(move || tree(depth - 1))).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).sum()
    }
    for workers in [1, 2, 4] {
        assert_eq!(
            Runtime::builder().workers(workers).run(|| tree(4)).unwrap(),
            10_000
        );
    }
}

#[test]
fn sleeps_end_in_order_and_take_no_time_under_the_virtual_clock() {
    let begun = std::time::Instant::now();
    let slept = Runtime::builder().virtual_clock().run(|| {
        let begun = greenloom::time::now();
        let tasks: Vec<_> = (1..=3u64)
            .map(|n| spawn(move || greenloom::sleep(Duration::from_secs(n))))
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        greenloom::time::now() - begun
    });
    assert_eq!(slept.unwrap(), Duration::from_secs(3));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_task_says_in_words_who_and_how_far_it_is() {
    let said = Runtime::builder().virtual_clock().run(|| {
        let task = greenloom::Builder::new()
            .name("teller")
            .spawn(greenloom::park);
        let task = task.unwrap();
        let before = format!("{task:?}");
        greenloom::yield_now();
        let running = format!("{:?}", task.task());
        task.cancel();
        let handle = task.task();
        assert!(task.join().is_err());
        [before, running, format!("{handle:?}")]
    });
    let [before, running, ended] = said.unwrap();
    assert!(before.contains("\"teller\", fate: not started, spawned_at: tests/it"));
    assert!(running.contains("fate: started, "), "{running}");
    assert!(ended.contains("fate: ended, cancelled"), "{ended}");
}
