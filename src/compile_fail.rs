//! Programs that must not compile: what keeps tasks on their threads and borrows inside their scopes.
//!
//! What a task takes along, and what it leaves, crosses threads:
//!
//! ```compile_fail,E0277
//! let shared = std::rc::Rc::new(1);
//! greenloom::spawn(move || *shared);
//! ```
//!
//! ```compile_fail,E0277
//! let task = greenloom::spawn(|| std::rc::Rc::new(1));
//! ```
//!
//! ```compile_fail,E0277
//! let runtime = greenloom::Runtime::new().unwrap();
//! let shared = std::rc::Rc::new(1);
//! runtime.block_on(move || *shared);
//! ```
//!
//! ```compile_fail,E0277
//! greenloom::run(|| {
//!     let shared = std::rc::Rc::new(1);
//!     greenloom::unblock(move || *shared);
//! });
//! ```
//!
//! ```compile_fail,E0277
//! greenloom::run(|| {
//!     let shared = std::cell::Cell::new(1);
//!     greenloom::scope(|s| {
//!         s.spawn(|| shared.set(2));
//!     });
//! });
//! ```
//!
//! and is not borrowed, except in a scope:
//!
//! ```compile_fail,E0373
//! let local = 1;
//! greenloom::spawn(|| local + 1);
//! ```
//!
//! ```compile_fail,E0597
//! greenloom::run(|| {
//!     let local = 1;
//!     let borrowed = &local;
//!     greenloom::spawn_local(move || *borrowed);
//! });
//! ```
//!
//! The handle of a local task whose value is not `Send` stays where it is:
//!
//! ```compile_fail,E0277
//! greenloom::run(|| {
//!     let task = greenloom::spawn_local(|| std::rc::Rc::new(1));
//!     std::thread::spawn(move || task.join());
//! });
//! ```
//!
//! A scoped task borrows what outlives the scope, no less:
//!
//! ```compile_fail,E0373
//! greenloom::scope(|s| {
//!     let inside = 1;
//!     s.spawn(|| inside + 1);
//! });
//! ```
//!
//! ```compile_fail,E0597
//! greenloom::scope(|s| {
//!     let inside = 1;
//!     let borrowed = &inside;
//!     s.spawn(move || *borrowed);
//! });
//! ```
//!
//! Neither the scope nor a handle leaves it:
//!
//! ```compile_fail
//! let escaped = greenloom::scope(|s| s.spawn(|| 1));
//! escaped.join();
//! ```
//!
//! ```compile_fail,E0521
//! let mut kept = None;
//! greenloom::scope(|s| kept = Some(s));
//! ```
//!
//! ```compile_fail
//! static KEPT: std::sync::Mutex<Option<greenloom::task::ScopedJoinHandle<'static, i32>>> =
//!     std::sync::Mutex::new(None);
//! greenloom::scope(|s| *KEPT.lock().unwrap() = Some(s.spawn(|| 1)));
//! ```
//!
//! The value of a scope does not borrow from it, nor is a value moved while a task borrows it:
//!
//! ```compile_fail,E0505
//! let text = String::from("borrowed");
//! greenloom::scope(|s| {
//!     s.spawn(|| println!("{text}"));
//!     drop(text);
//! });
//! ```
//!
//! Two tasks do not write to one thing:
//!
//! ```compile_fail,E0499
//! let mut count = 0;
//! greenloom::scope(|s| {
//!     s.spawn(|| count += 1);
//!     s.spawn(|| count += 1);
//! });
//! ```
//!
//! A value that is lent to a scope's task is not returned from it, nor the scope's handle through a slot
//! that lies outside:
//!
//! ```compile_fail,E0505
//! let text = String::from("lent");
//! let text = greenloom::scope(|s| {
//!     s.spawn(|| println!("{text}"));
//!     text
//! });
//! ```
//!
//! ```compile_fail,E0521
//! let mut slot = None;
//! greenloom::scope(|s| slot = Some(s.spawn(|| 1)));
//! ```
//!
//! Nor does a scope go to a task that may outlive it:
//!
//! ```compile_fail,E0521
//! greenloom::scope(|s| {
//!     greenloom::spawn(move || drop(s.spawn(|| 1)));
//! });
//! ```
//!
//! All of this holds for groups, for their errors, and for daemons:
//!
//! ```compile_fail,E0373
//! use greenloom::task::TaskGroup;
//! let _ = TaskGroup::run(|group| {
//!     let inside = 1;
//!     group.spawn(|| Ok::<_, ()>(inside + 1));
//!     Ok(())
//! });
//! ```
//!
//! ```compile_fail,E0373
//! greenloom::scope(|s| {
//!     let inside = 1;
//!     s.spawn_daemon(|| inside + 1);
//! });
//! ```
//!
//! ```compile_fail,E0597
//! use greenloom::task::TaskGroup;
//! let _ = TaskGroup::run(|group| {
//!     let inside = String::new();
//!     let borrowed: &str = &inside;
//!     group.spawn(move || Err::<(), &str>(borrowed));
//!     Ok(())
//! });
//! ```
//!
//! ```compile_fail
//! use greenloom::task::TaskGroup;
//! let escaped = TaskGroup::run(|group| Ok::<_, ()>(group.spawn(|| Ok(1))));
//! escaped.unwrap().unwrap().join();
//! ```
//!
//! ```compile_fail,E0521
//! use greenloom::task::TaskGroup;
//! let mut kept = None;
//! let _ = TaskGroup::run(|group| {
//!     kept = Some(group);
//!     Ok::<_, ()>(())
//! });
//! ```
//!
//! ```compile_fail,E0277
//! use greenloom::task::TaskGroup;
//! let _ = TaskGroup::run(|group| {
//!     group.spawn(|| Err::<(), _>(std::rc::Rc::new(1)));
//!     Ok(())
//! });
//! ```
//!
//! A cancel scope stays with the task that has entered it; its token may go:
//!
//! ```compile_fail,E0277
//! let _ = greenloom::task::cancel_scope(|c| {
//!     greenloom::scope(|s| {
//!         s.spawn(|| c.set_timeout(std::time::Duration::ZERO));
//!     });
//! });
//! ```
//!
//! `run` may borrow from its caller, but what it spawns may not:
//!
//! ```compile_fail,E0597
//! let local = String::new();
//! let borrowed = &local;
//! greenloom::run(|| greenloom::spawn(move || borrowed.len()).join().unwrap());
//! ```
//!
//! Coroutines, generators and greenlets stay on the thread that made them:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! is_send(greenloom::coroutine::Coroutine::<(), (), ()>::new(|_, ()| ()));
//! ```
//!
//! ```compile_fail,E0277
//! let generator = greenloom::coroutine::Generator::<u8>::new(|_| ());
//! std::thread::spawn(move || drop(generator));
//! ```
//!
//! What would compile if these did not fail for the right reason:
//!
//! ```
//! let local = String::from("borrowed");
//! let length = greenloom::run(|| {
//!     let task = greenloom::spawn_local(|| std::rc::Rc::new(1));
//!     let sum = greenloom::scope(|s| {
//!         let first = s.spawn(|| local.len());
//!         let second = s.spawn(|| local.len());
//!         first.join().unwrap() + second.join().unwrap()
//!     });
//!     sum + *task.join().unwrap()
//! });
//! assert_eq!(length, 17);
//! let group = greenloom::task::TaskGroup::run(|group| {
//!     let task = group.spawn(|| match local.len() {
//!         8 => Ok(group.try_spawn(|| Ok(8)).unwrap().join().unwrap()),
//!         _ => Err(local.as_str()),
//!     });
//!     group.spawn_daemon(|| Ok(local.len()));
//!     Ok(task.join().unwrap())
//! });
//! assert_eq!(group.unwrap(), Some(8));
//! let stopped = greenloom::task::cancel_scope(|c| {
//!     greenloom::scope(|s| {
//!         let token = c.token();
//!         s.spawn(move || token.cancel());
//!     });
//! });
//! assert!(stopped.is_ok());
//! let coroutine = greenloom::coroutine::Coroutine::<(), (), ()>::new(|_, ()| ());
//! let generator = greenloom::coroutine::Generator::<u8>::new(|_| ());
//! drop((coroutine, generator));
//! ```
