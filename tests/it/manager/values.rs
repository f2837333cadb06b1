//! The methods of dicts, lists, values and namespaces, against what std's do, and proxies inside of them.

use std::collections::{BTreeMap, HashMap};

use greenloom::ipc::{self, Conn, Dict, List, Lock, Manager, ManagerError, Queue, Value};
use greenloom::process::{Process, ProcessPool};

#[test]
fn a_dict_has_the_methods_of_a_map() {
    let manager = Manager::start().unwrap();
    let dict: Dict<String, u32> = manager.dict().unwrap();
    assert!(dict.is_empty().unwrap());
    assert_eq!(dict.insert("one", &1), Ok(None));
    assert_eq!(dict.insert("two", &2), Ok(None));
    assert_eq!(dict.insert("one", &11), Ok(Some(1)));
    assert_eq!(dict.get_or_insert("one", &5), Ok(11));
    assert_eq!(dict.get_or_insert("three", &3), Ok(3));
    assert_eq!(dict.contains_key("two"), Ok(true));
    assert_eq!(dict.contains_key("four"), Ok(false));
    assert_eq!(dict.get("four"), Ok(None));
    // In the order in which the keys came.
    assert_eq!(dict.keys().unwrap(), ["one", "two", "three"]);
    assert_eq!(dict.values().unwrap(), [11, 2, 3]);
    assert_eq!(dict.remove("two"), Ok(Some(2)));
    assert_eq!(dict.remove("two"), Ok(None));
    let more: BTreeMap<String, u32> = [("two".into(), 22), ("one".into(), 1)].into();
    dict.extend(&more).unwrap();
    let items: HashMap<String, u32> = dict.items().unwrap().into_iter().collect();
    let expected = [("one".into(), 1), ("two".into(), 22), ("three".into(), 3)];
    assert_eq!(items, HashMap::from(expected));
    assert_eq!(dict.pop_last(), Ok(Some(("two".into(), 22))));
    assert_eq!(dict.compare_exchange("one", Some(&2), Some(&3)), Ok(false));
    assert_eq!(dict.compare_exchange("one", Some(&1), None), Ok(true));
    assert_eq!(dict.compare_exchange("one", None, Some(&4)), Ok(true));
    assert_eq!(dict.len(), Ok(2));
    dict.clear().unwrap();
    assert_eq!(dict.pop_last(), Ok(None));
}

#[test]
fn a_list_has_the_methods_of_a_vector() {
    let manager = Manager::start().unwrap();
    let list: List<u64> = manager.list().unwrap();
    assert_eq!(list.pop(), Ok(None));
    list.extend(&[0, 1, 300, 70_000]).unwrap();
    list.push(&5).unwrap();
    list.insert(1, &10).unwrap();
    assert_eq!(list.insert(7, &1), Err(ManagerError::Missing));
    assert_eq!(list.to_vec().unwrap(), [0, 10, 1, 300, 70_000, 5]);
    assert_eq!((list.get(1), list.get(6)), (Ok(Some(10)), Ok(None)));
    assert_eq!(list.set(1, &11), Ok(10));
    assert_eq!(list.set(6, &11), Err(ManagerError::Missing));
    assert_eq!(list.remove(0), Ok(Some(0)));
    assert_eq!(list.remove(9), Ok(None));
    list.swap(0, 4).unwrap();
    assert_eq!(list.swap(0, 5), Err(ManagerError::Missing));
    assert_eq!(list.range(1..=2).unwrap(), [1, 300]);
    assert_eq!(list.range(4..99).unwrap(), [11]);
    assert!(list.range(5..).unwrap().is_empty());
    assert_eq!(list.position(&70_000), Ok(Some(3)));
    assert_eq!(list.contains(&12), Ok(false));
    assert_eq!(list.pop(), Ok(Some(11)));
    list.truncate(2).unwrap();
    assert_eq!(list.to_vec().unwrap(), [5, 1]);
    list.clear().unwrap();
    assert!(list.is_empty().unwrap());
    // More than one byte of length.
    let many: Vec<u64> = (0..1000).collect();
    list.extend(&many).unwrap();
    assert_eq!(list.to_vec().unwrap(), many);
}

#[test]
fn a_value_and_a_namespace_hold_anything() {
    let manager = Manager::start().unwrap();
    let value = manager.value(&Some("text".to_owned())).unwrap();
    assert_eq!(value.replace(&None), Ok(Some("text".to_owned())));
    assert_eq!(
        value.compare_exchange(&None, &Some(String::new())),
        Ok(true)
    );
    assert_eq!(value.compare_exchange(&None, &None), Ok(false));
    assert_eq!(value.get(), Ok(Some(String::new())));
    let names = manager.namespace().unwrap();
    names.set("a", &1_u8).unwrap();
    names.set("b", "text").unwrap();
    names.set("a", &vec![1.5, 2.5]).unwrap();
    assert_eq!(names.get("a"), Ok(Some(vec![1.5, 2.5])));
    assert_eq!(names.contains("b"), Ok(true));
    assert_eq!(names.names().unwrap(), ["a", "b"]);
    assert_eq!(names.remove("b"), Ok(Some("text".to_owned())));
    assert_eq!(names.remove::<String>("b"), Ok(None));
}

/// What no number can be read from.
const TEXT: &str = "seven";

#[test]
fn what_is_of_another_type_is_named_and_stays() {
    let manager = Manager::start().unwrap();
    let texts = (
        manager.named("list").list::<String>().unwrap(),
        manager.named("dict").dict::<u8, String>().unwrap(),
        manager.named("queue").queue::<String>().unwrap(),
    );
    texts
        .0
        .extend(&["first".to_owned(), TEXT.to_owned()])
        .unwrap();
    texts.1.insert(&1, &"first".to_owned()).unwrap();
    texts.1.insert(&2, &TEXT.to_owned()).unwrap();
    texts.2.put(&TEXT.to_owned()).unwrap();
    texts.2.put(&"next".to_owned()).unwrap();

    type Odd = (bool, bool);
    fn is_named<T: std::fmt::Debug>(outcome: Result<T, ManagerError>) {
        match outcome {
            Err(ManagerError::Codec(error)) => assert!(error.type_name().contains("bool")),
            other => panic!("{other:?}"),
        }
    }
    let list = manager.named("list").list::<Odd>().unwrap();
    is_named(list.pop());
    is_named(list.remove(0));
    is_named(list.get(0));
    is_named(list.to_vec());
    let dict = manager.named("dict").dict::<u8, Odd>().unwrap();
    is_named(dict.remove(&1));
    is_named(dict.pop_last());
    is_named(dict.get(&1));
    let queue = manager.named("queue").queue::<Odd>().unwrap();
    match queue.get() {
        Err(ipc::GetError::Codec(error)) => assert!(error.type_name().contains("bool")),
        other => panic!("{other:?}"),
    }
    // All is where it was.
    assert_eq!(texts.0.to_vec().unwrap(), ["first", TEXT]);
    let items = texts.1.items().unwrap();
    assert_eq!(items, [(1, "first".to_owned()), (2, TEXT.to_owned())]);
    assert_eq!(texts.2.get().unwrap(), TEXT);
    assert_eq!(texts.2.get().unwrap(), "next");
}

type Nested = Dict<String, List<u32>>;

#[test]
fn a_proxy_inside_of_another_is_as_good_as_any() {
    let manager = Manager::start().unwrap();
    let rooms: Nested = manager.dict().unwrap();
    fn fill(rooms: Nested) {
        rooms.get("hall").unwrap().unwrap().push(&1).unwrap();
    }
    rooms.insert("hall", &manager.list().unwrap()).unwrap();
    let hall = rooms.get("hall").unwrap().unwrap();
    // Two processes read the same proxy, each for itself.
    for child in [(); 2].map(|()| Process::spawn(fill, rooms.clone())) {
        child.unwrap().join().unwrap();
    }
    rooms.items().unwrap()[0].1.push(&2).unwrap();
    assert_eq!(hall.to_vec().unwrap(), [1, 1, 2]);
    // A manager can be in one of its own objects, and in a queue of its own.
    let queue = manager.queue::<(Manager, Lock)>().unwrap();
    queue
        .put(&(manager.clone(), manager.lock().unwrap()))
        .unwrap();
    let (same, lock) = queue.get().unwrap();
    assert_eq!(same.address(), manager.address());
    drop(lock.acquire().unwrap());
}

#[test]
fn proxies_go_wherever_values_go() {
    let manager = Manager::start().unwrap();
    let sum = manager.value(&0_u32).unwrap();
    let lock = manager.lock().unwrap();
    type Load = (Value<u32>, Lock);
    fn add((sum, lock): Load) -> u32 {
        let _guard = lock.acquire().unwrap();
        let new = sum.get().unwrap() + 1;
        sum.set(&new).unwrap();
        new
    }
    // Through a pipe and a queue of another kind, to a process that has nothing of the manager yet.
    let (ours, theirs) = ipc::pipe::<Load, u32>().unwrap();
    let queue = Queue::<Load>::new();
    let child = Process::spawn(
        |(pipe, queue): (Conn<u32, Load>, Queue<Load>)| {
            pipe.send(&add(pipe.recv().unwrap())).unwrap();
            add(queue.get().unwrap())
        },
        (theirs, queue.clone()),
    )
    .unwrap();
    ours.send(&(sum.clone(), lock.clone())).unwrap();
    assert_eq!(ours.recv().unwrap(), 1);
    queue.put(&(sum.clone(), lock.clone())).unwrap();
    assert_eq!(child.join().unwrap(), 2);
    // To workers of a pool.
    let pool = ProcessPool::new(2).unwrap();
    let jobs = (0..10).map(|_| (sum.clone(), lock.clone()));
    let sums = pool.map(jobs, add).into_iter();
    let mut sums: Vec<u32> = sums.map(Result::unwrap).collect();
    sums.sort_unstable();
    assert!(sums.into_iter().eq(3..=12));
    // And into another manager.
    let other = Manager::start().unwrap();
    let kept = other.list::<Load>().unwrap();
    kept.push(&(sum.clone(), lock.clone())).unwrap();
    let child = Process::spawn(|kept: List<Load>| add(kept.pop().unwrap().unwrap()), kept);
    assert_eq!(child.unwrap().join().unwrap(), 13);
}

#[test]
fn what_a_manager_cannot_keep_is_refused_and_says_why() {
    let manager = Manager::start().unwrap();
    let list = manager.list::<Queue<u32>>().unwrap();
    // A queue that this process serves is a connection, which would be handed out to each reader.
    match list.push(&Queue::new()) {
        Err(ManagerError::Codec(error)) => {
            assert!(error.to_string().contains("descriptor"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(list.len(), Ok(0));
    // An item of a queue comes out once.
    let queue = manager.queue::<Queue<u32>>().unwrap();
    let inner = Queue::new();
    queue.put(&inner).unwrap();
    inner.put(&7).unwrap();
    assert_eq!(queue.get().unwrap().get(), Ok(7));
}
