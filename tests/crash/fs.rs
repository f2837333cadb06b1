//! Files when the process is short of descriptors.

use greenloom::fs::{self, File};

use crate::child::Child;

#[test]
fn an_open_without_a_descriptor_left_is_an_error_until_there_is_one_again() {
    let outcome = Child::default().limit("ulimit -n 40").run(|| {
        greenloom::run(|| {
            let mut files = Vec::new();
            let error = loop {
                match File::open("/dev/null") {
                    Ok(file) => files.push(file),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            assert!(fs::read_dir("/").is_err() && fs::read("/dev/null").is_err());
            // Needs none.
            files[0].try_clone().unwrap();
            files.pop();
            assert!(fs::read("/dev/null").unwrap().is_empty());
            files.push(File::open("/dev/null").unwrap());
        });
    });
    outcome.assert_success();
}
