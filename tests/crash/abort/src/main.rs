//! What works where a panic aborts: nothing unwinds, so waits run to their end and the rest is leaked.

use std::time::Duration;

use greenloom::{Runtime, park, run, scope, sleep, spawn, timeout, yield_now};

fn main() {
    let value = run(|| {
        // Left parked when `run` returns: leaked.
        drop(spawn(park));
        drop(spawn(|| sleep(Duration::from_secs(1000))));
        yield_now();
        // Late, with its value.
        let late = timeout(Duration::from_millis(1), || {
            sleep(Duration::from_millis(5));
            1
        });
        assert_eq!(late, Ok(1));
        // A cancellation does not reach it; its end does.
        let task = spawn(|| {
            sleep(Duration::from_millis(5));
            2
        });
        yield_now();
        task.cancel();
        assert_eq!(task.join().unwrap(), 2);
        // One that has not started never does.
        let never = spawn(|| 3);
        never.cancel();
        let _ = never.join();
        let text = String::from("four");
        scope(|s| s.spawn(|| text.len()).join().unwrap())
    });
    assert_eq!(value, 4);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    drop(runtime.handle().spawn(park).unwrap());
    runtime.block_on(|| sleep(Duration::from_millis(1)));
    runtime.stop();
    println!("all is well");
    if std::env::args().nth(1).is_some() {
        run(|| spawn(|| panic!("on purpose")).join().unwrap());
    }
}
