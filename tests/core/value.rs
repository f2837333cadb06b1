//! What greenlets hand each other: values of every shape, dropped once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use greenloom::coroutine::{Greenlet, Value};

/// There and back inside of a value.
fn there_and_back<T: std::any::Any>(value: T) -> T {
    let echo = Greenlet::new(|value: Value| {
        let parent = Greenlet::current().parent().unwrap();
        parent.switch(value).unwrap()
    });
    echo.switch(value).unwrap().get()
}

#[test]
fn values_of_any_shape_arrive() {
    #[repr(align(64))]
    #[derive(Debug, PartialEq)]
    struct Aligned<T>(T);
    there_and_back(());
    assert_eq!(there_and_back(-1_i8), -1);
    assert_eq!(there_and_back(u128::MAX), u128::MAX);
    assert_eq!(there_and_back(Some('x')), Some('x'));
    assert_eq!(there_and_back((1_u8, 2_u32)), (1, 2));
    assert_eq!(there_and_back("text"), "text");
    assert_eq!(there_and_back(String::from("text")), "text");
    assert_eq!(there_and_back([1_u64, 2, 3]), [1, 2, 3]);
    assert_eq!(there_and_back(Aligned(())), Aligned(()));
    assert_eq!(there_and_back(Aligned(7)), Aligned(7));
    assert_eq!(there_and_back(i32::abs as fn(i32) -> i32)(-3), 3);
    assert_eq!(*there_and_back(Box::new(5)), 5);
    let any = Value::new(Aligned(8)).into_any();
    assert_eq!(*any.downcast::<Aligned<i32>>().unwrap(), Aligned(8));
    assert_eq!(*Value::new(9).into_any().downcast::<i32>().unwrap(), 9);
}

#[test]
fn a_value_is_dropped_once_whatever_becomes_of_it() {
    let count = Rc::new(());
    let held = || Rc::strong_count(&count) - 1;
    let small = Rc::clone(&count);
    let large = (Rc::clone(&count), [0_u64; 4]);
    let (small, large) = (Value::new(small), Value::new(large));
    assert_eq!(held(), 2);
    let small = small.downcast::<u8>().unwrap_err();
    let large = large.downcast::<Rc<()>>().unwrap_err();
    assert!(small.is::<Rc<()>>() && !large.is::<Rc<()>>());
    drop(large);
    assert_eq!(held(), 1);
    let small: Rc<()> = there_and_back(Value::new(small)).get();
    assert_eq!(held(), 1);
    drop(Value::new(small).into_any());
    assert_eq!(held(), 0);
    // On its way to one that takes something else.
    let g = Greenlet::new(|_: u8| ());
    let refused = catch_unwind(AssertUnwindSafe(|| g.switch(Rc::clone(&count)).is_ok()));
    assert!(refused.is_err());
    assert_eq!(held(), 0);
}
