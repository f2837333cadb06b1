//! Functions that a manager runs on its values, by name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use greenloom::ipc::{Dict, Event, Functions, List, Manager, ManagerError};
use greenloom::process::Process;

use super::LONG;

fn functions(functions: &mut Functions) {
    functions
        .value("add", |n: &mut i64, by: i64| {
            *n += by;
            *n
        })
        .value("spoil", |n: &mut i64, (): ()| {
            *n = -1;
            assert!(*n > 0, "spoiled on purpose");
        })
        .value("wait", |n: &mut i64, (begun, go): (Event, Event)| {
            begun.set().unwrap();
            go.wait().unwrap();
            *n += 1000;
        })
        .value("push", |list: &mut List<u32>, item: u32| {
            list.push(&item).unwrap()
        })
        .dict(
            "transfer",
            |accounts: &mut HashMap<String, i64>, (from, to, sum): (String, String, i64)| {
                let Some(rest) = accounts.get(&from).filter(|have| **have >= sum) else {
                    return false;
                };
                let rest = rest - sum;
                accounts.insert(from, rest);
                *accounts.entry(to).or_default() += sum;
                true
            },
        )
        .list("sort", |items: &mut Vec<String>, (): ()| items.sort());
}

#[test]
fn an_update_is_one_step_for_everybody() {
    let manager = Manager::start_with(functions).unwrap();
    let counts: Dict<String, i64> = manager.dict().unwrap();
    counts.insert("count", &100).unwrap();
    let decrement = |counts: Dict<String, i64>| {
        for _ in 0..20 {
            counts.update::<_, _, i64>("count", "add", &-1_i64).unwrap();
        }
    };
    let children = [(); 4].map(|()| Process::spawn(decrement, counts.clone()).unwrap());
    children.into_iter().for_each(|child| child.join().unwrap());
    assert_eq!(counts.get("count"), Ok(Some(20)));
    // A key that is not there, without and with a beginning.
    let missing = counts.update::<_, _, i64>("other", "add", &1_i64);
    assert_eq!(missing, Err(ManagerError::Missing));
    assert_eq!(counts.update_or("other", &40, "add", &2_i64), Ok(42_i64));
    assert_eq!(counts.update_or("other", &40, "add", &2_i64), Ok(44_i64));
    // Values, items, names.
    let value = manager.value(&1_i64).unwrap();
    assert_eq!(value.update("add", &5_i64), Ok(6_i64));
    let list = manager.list::<i64>().unwrap();
    list.extend(&[1, 2]).unwrap();
    assert_eq!(list.update(1, "add", &5_i64), Ok(7_i64));
    assert_eq!(
        list.update::<_, i64>(2, "add", &5_i64),
        Err(ManagerError::Missing)
    );
    assert_eq!(list.to_vec().unwrap(), [1, 7]);
    let names = manager.namespace().unwrap();
    names.set("n", &3_i64).unwrap();
    assert_eq!(names.update("n", "add", &1_i64), Ok(4_i64));
}

#[test]
fn a_function_of_the_whole_changes_several_at_once() {
    let manager = Manager::start_with(functions).unwrap();
    let accounts: Dict<String, i64> = manager.dict().unwrap();
    for name in ["ann", "bob", "eve"] {
        accounts.insert(name, &10).unwrap();
    }
    let transfer = |from: &str, to: &str, sum: i64| {
        accounts
            .update_all::<_, bool>("transfer", &(from, to, sum))
            .unwrap()
    };
    assert!(transfer("bob", "ann", 7));
    assert!(!transfer("bob", "ann", 7));
    assert!(transfer("eve", "dan", 1));
    // Those that were there are in their order.
    let items = accounts.items().unwrap();
    let items: Vec<(&str, i64)> = items
        .iter()
        .map(|(name, sum)| (name.as_str(), *sum))
        .collect();
    assert_eq!(items, [("ann", 17), ("bob", 3), ("eve", 9), ("dan", 1)]);
    let words = manager.list::<String>().unwrap();
    words
        .extend(&["b".to_owned(), "c".to_owned(), "a".to_owned()])
        .unwrap();
    words.update_all::<_, ()>("sort", &()).unwrap();
    assert_eq!(words.to_vec().unwrap(), ["a", "b", "c"]);
}

#[test]
fn what_goes_wrong_in_a_function_is_its_callers_error_and_changes_nothing() {
    let manager = Manager::start_with(functions).unwrap();
    let value = manager.value(&7_i64).unwrap();
    let spoiled = value.update::<_, ()>("spoil", &());
    assert_eq!(
        spoiled,
        Err(ManagerError::Panicked("spoiled on purpose".to_owned()))
    );
    let unknown = value.update::<_, ()>("no such thing", &());
    assert_eq!(
        unknown,
        Err(ManagerError::NoFunction("no such thing".to_owned()))
    );
    let unfit = value.update::<_, ()>("sort", &());
    assert_eq!(unfit, Err(ManagerError::UnfitFunction("sort".to_owned())));
    // An argument, a value, a result of another type.
    let codec = |outcome: Result<(), ManagerError>, name: &str| match outcome {
        Err(ManagerError::Codec(error)) => assert!(error.type_name().contains(name), "{error}"),
        other => panic!("{other:?}"),
    };
    codec(value.update("add", &()), "i64");
    let text = manager
        .value(&"\u{10ffff}\u{10ffff}\u{10ffff}".to_owned())
        .unwrap();
    codec(text.update("add", &1_i64), "i64");
    codec(value.update::<_, String>("add", &0_i64).map(drop), "String");
    assert_eq!(value.get(), Ok(7));
}

#[test]
fn a_function_that_takes_its_time_keeps_its_own_object_only() {
    let manager = Manager::start_with(functions).unwrap();
    let (value, other) = (
        manager.value(&1_i64).unwrap(),
        manager.value(&5_i64).unwrap(),
    );
    let (begun, go) = (manager.event().unwrap(), manager.event().unwrap());
    let signs = (begun.clone(), go.clone());
    let slow = std::thread::spawn({
        let value = value.clone();
        move || value.update::<_, ()>("wait", &signs)
    });
    assert!(begun.wait_timeout(LONG).unwrap());
    // Others are served; this one has its calls wait, for as long as they may.
    assert_eq!(other.update("add", &1_i64), Ok(6_i64));
    let soon = value.with_timeout(Duration::from_millis(20));
    let begun = Instant::now();
    assert_eq!(soon.get(), Err(ManagerError::TimedOut));
    assert_eq!(soon.set(&9), Err(ManagerError::TimedOut));
    assert!(begun.elapsed() >= Duration::from_millis(40));
    let after = std::thread::spawn({
        let value = value.clone();
        move || value.update::<_, i64>("add", &1_i64)
    });
    go.set().unwrap();
    assert_eq!(slow.join().unwrap(), Ok(()));
    assert_eq!(after.join().unwrap(), Ok(1002));
}

#[test]
fn an_update_that_is_given_up_has_not_been() {
    let manager = Manager::start_with(functions).unwrap();
    let value = manager.value(&1_i64).unwrap();
    let (begun, go) = (manager.event().unwrap(), manager.event().unwrap());
    let signs = (begun.clone(), go.clone());
    // By its own limit.
    let soon = value.with_timeout(Duration::from_millis(20));
    assert_eq!(
        soon.update::<_, ()>("wait", &signs),
        Err(ManagerError::TimedOut)
    );
    go.set().unwrap();
    assert_eq!(value.get(), Ok(1));
    // By a cancellation.
    begun.clear().unwrap();
    go.clear().unwrap();
    greenloom::run(|| {
        let theirs = (value.clone(), signs.clone());
        let task = greenloom::spawn(move || theirs.0.update::<_, ()>("wait", &theirs.1));
        assert!(begun.wait_timeout(LONG).unwrap());
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
    });
    go.set().unwrap();
    assert_eq!(value.get(), Ok(1));
    // By the death of who asked.
    begun.clear().unwrap();
    go.clear().unwrap();
    let child = Process::spawn(
        |(value, signs): (greenloom::ipc::Value<i64>, (Event, Event))| {
            value.update::<_, ()>("wait", &signs).unwrap();
        },
        (value.clone(), signs),
    );
    let child = child.unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    child.kill().unwrap();
    child.join().unwrap_err();
    go.set().unwrap();
    // The manager may learn of the death a little later than we do; the function was over before.
    let seen = value.get().unwrap();
    assert!(seen == 1 || seen == 1001, "{seen}");
}

#[test]
fn a_function_may_use_other_objects_of_its_manager() {
    let manager = Manager::start_with(functions).unwrap();
    let inner = manager.list::<u32>().unwrap();
    let outer = manager.value(&inner).unwrap();
    outer.update::<_, ()>("push", &7_u32).unwrap();
    assert_eq!(inner.to_vec().unwrap(), [7]);
}

#[test]
fn a_setup_that_panics_is_told() {
    let error = Manager::start_with(|_| panic!("no functions today")).unwrap_err();
    assert!(error.to_string().contains("no functions today"), "{error}");
}
