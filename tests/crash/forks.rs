//! A fork without exec, which greenloom never makes itself: what it inherits is not its own.

use greenloom::ipc::{self, Conn};
use greenloom::process::{Builder, active_children};

use crate::child::Child;

#[test]
fn the_end_of_a_fork_is_not_the_end_of_its_parents_children() {
    // In the fork there are no threads but one, and what they held is nobody's.
    let child = Child::default().env("LSAN_OPTIONS", "detect_leaks=0");
    let outcome = child.run(|| {
        let (ours, theirs) = ipc::pipe::<u32, u32>().unwrap();
        let echo = |end: Conn<u32>| {
            while let Ok(number) = end.recv() {
                end.send(&number).unwrap();
            }
        };
        let daemon = Builder::new().daemon(true).spawn(echo, theirs).unwrap();
        // SAFETY: the fork does nothing but to end, by the handlers of the C library.
        let fork = unsafe { libc::fork() };
        if fork == 0 {
            // SAFETY: as above.
            unsafe { libc::exit(0) };
        }
        let mut status = 0;
        // SAFETY: a child of ours and a place for its status.
        assert_eq!(unsafe { libc::waitpid(fork, &mut status, 0) }, fork);
        assert_eq!(status, 0);
        ours.send(&7).unwrap();
        assert_eq!(ours.recv().unwrap(), 7, "the daemon lives");
        assert_eq!(active_children().len(), 1);
        drop(ours);
        daemon.join().unwrap();
    });
    outcome.assert_success();
}
