//! Select: one arm, chosen fairly, and nothing lost at the others.

use std::time::Duration;

use greenloom::channel::{bounded, rendezvous, unbounded};
use greenloom::{select, spawn, yield_now};

use crate::util::green;

#[test]
fn smoke() {
    green(|| {
        let (s, r) = bounded(1);
        let (s2, r2) = rendezvous::<u8>();
        s.send(1).unwrap();
        let got = select! {
            recv(r) -> x => x.unwrap(),
            recv(&r2) -> x => i32::from(x.unwrap()),
        };
        assert_eq!(got, 1);
        let t = spawn(move || s.send(5).unwrap());
        let got = select! {
            recv(r2) -> x if 1 > 2 => { i32::from(x.unwrap()) }
            recv(r) -> x => x.unwrap(),
            timeout(Duration::from_secs(1)) => 7,
        };
        assert_eq!(got, 5);
        t.join().unwrap();
        let got = select! {
            recv(r2) => 1,
            default => 2,
        };
        assert_eq!(got, 2);
        let got = select! {
            recv(r2) => 1,
            timeout(Duration::from_millis(1)) => { 3 }
        };
        assert_eq!(got, 3);
        let t = spawn(move || r2.recv().unwrap());
        yield_now();
        select! { send(s2, 9) -> r => r.unwrap(), default => panic!() }
        assert_eq!(t.join().unwrap(), 9);
        let x = select! {
            recv(bounded::<u8>(1).1) -> x => x.is_err(),
            default => false,
        };
        assert!(x);
        let mut t = spawn(|| 5);
        let (_s3, r3) = unbounded::<()>();
        assert_eq!(
            select! { join(t) -> r => r.unwrap(), recv(r3) -> _ => 0 },
            5
        );
    });
}
