//! A program without greenloom that loads a library with it.

use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const NOW: c_int = 2;

fn main() {
    println!("main");
    let path = std::env::args().nth(1).expect("a library");
    let path = CString::new(path).unwrap();
    // SAFETY: the library's constructors are Rust's and greenloom's own, which any program may run.
    let library = unsafe { dlopen(path.as_ptr(), NOW) };
    assert!(!library.is_null(), "it cannot be loaded");
    // SAFETY: a question of a library that stays loaded.
    let probe = unsafe { dlsym(library, c"probe".as_ptr()) };
    assert!(!probe.is_null(), "it has no probe");
    // SAFETY: the library defines it so.
    let probe = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(probe) };
    probe();
    println!("end of main");
}
