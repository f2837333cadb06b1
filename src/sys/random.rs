//! Random bytes of the kernel, good enough for keys.

use std::io;

/// Fills the buffer.
///
/// # Errors
/// When the system has none to give.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn fill(mut buffer: &mut [u8]) -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::rand::{GetRandomFlags, getrandom};
    while !buffer.is_empty() {
        match getrandom(&mut *buffer, GetRandomFlags::empty()) {
            Ok(count) => buffer = &mut buffer[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// As there, by the device that every Unix has.
///
/// # Errors
/// When the device is not there.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn fill(buffer: &mut [u8]) -> io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// So many bytes.
///
/// # Errors
/// As for `fill`.
pub(crate) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}
