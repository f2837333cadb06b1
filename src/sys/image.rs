//! This program's own image in memory: where its code lies, and a mark that tells it from any other build.
//!
//! A process that runs a function of its parent's program finds it by its distance from the place where the
//! program was loaded. That is meaningful only if both run the same build, and only for code of the main
//! program, not of a library that was loaded beside it; both can be asked here.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::sync::OnceLock;

/// The main program, as it lies in this process.
#[derive(Debug)]
pub(crate) struct Image {
    base: usize,
    /// Where it can be executed and cannot be written.
    code: Vec<Range<usize>>,
    /// Equal in two processes that run the same build, and in practice in no others.
    pub(crate) fingerprint: u64,
}

impl Image {
    /// The distance of an address from the load address, if it is the main program's code.
    pub(crate) fn offset(&self, address: usize) -> Option<u64> {
        self.is_code(address).then(|| (address - self.base) as u64)
    }

    /// The address at a distance, if it is the main program's code.
    pub(crate) fn address(&self, offset: u64) -> Option<usize> {
        let address = self.base.checked_add(usize::try_from(offset).ok()?)?;
        self.is_code(address).then_some(address)
    }

    fn is_code(&self, address: usize) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }
}

/// The image of the program that runs here, found out once.
///
/// # Errors
/// `Unsupported` where it cannot be found out, or where the program was started by hand through a loader, so
/// that the system takes the loader for it.
pub(crate) fn image() -> io::Result<&'static Image> {
    static IMAGE: OnceLock<Result<Image, &'static str>> = OnceLock::new();
    let found = IMAGE.get_or_init(find);
    found
        .as_ref()
        .map_err(|why| io::Error::new(io::ErrorKind::Unsupported, *why))
}

/// A hash in one pass, of eight bytes at a time: it tells builds apart, not enemies.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(seed, |state, word| {
        (state ^ u64::from_le_bytes(*word))
            .wrapping_mul(PRIME)
            .rotate_left(23)
    });
    rest.iter().fold(state, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn find() -> Result<Image, &'static str> {
    elf::find()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn find() -> Result<Image, &'static str> {
    let _ = hash;
    Err(
        "on this system a program cannot find its own code: functions cannot be run in other processes",
    )
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod elf {
    use std::ffi::{c_int, c_void};
    use std::slice;

    use super::{Image, hash};

    /// Owner and kind of the note in which linkers leave a build's hash.
    const BUILD_ID: (&[u8], u32) = (b"GNU\0", 3);

    pub(super) fn find() -> Result<Image, &'static str> {
        let mut found = Err("the loader lists no program");
        // SAFETY: `first` is called back with what we hand over, before this returns.
        unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut found).cast()) };
        found
    }

    /// Looks at the first object of the list, which is the main program, and ends the walk.
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader lends its record for the call.
        let info = unsafe { &*info };
        // SAFETY: it is the variable of `find`, which is not touched meanwhile.
        let found = unsafe { &mut *found.cast::<Result<Image, &'static str>>() };
        *found = read(info);
        1
    }

    fn read(info: &libc::dl_phdr_info) -> Result<Image, &'static str> {
        if !was_started_by_kernel(info) {
            return Err("the program was started through a loader, not by itself");
        }
        let base = info.dlpi_addr as usize;
        // SAFETY: the loader vouches for its table, which stays as long as the program.
        let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let mut image = Image {
            base,
            code: Vec::new(),
            fingerprint: 0,
        };
        for header in headers {
            let begin = base.wrapping_add(header.p_vaddr as usize);
            let range = begin..begin.wrapping_add(header.p_memsz as usize);
            let is_code = header.p_flags & (libc::PF_X | libc::PF_W) == libc::PF_X;
            if header.p_type == libc::PT_LOAD && is_code {
                image.code.push(range);
            } else if header.p_type == libc::PT_NOTE && header.p_flags & libc::PF_W == 0 {
                // SAFETY: the segment is mapped, readable and constant for the life of the program.
                let notes = unsafe { slice::from_raw_parts(begin as *const u8, range.len()) };
                image.fingerprint ^= build_id(notes).map_or(0, |id| hash(1, id));
            }
        }
        if image.fingerprint == 0 {
            // A linker that leaves no mark: the code itself, position-independent and never written, is one.
            for range in &image.code {
                // SAFETY: as for the notes; an executable segment may lack the right to be read on some
                // machines, which no linker for our targets makes use of.
                let code = unsafe { slice::from_raw_parts(range.start as *const u8, range.len()) };
                image.fingerprint ^= hash(2, code);
            }
        }
        Ok(image)
    }

    /// Whether the kernel knows this program's headers: else it has started something that loaded it.
    fn was_started_by_kernel(info: &libc::dl_phdr_info) -> bool {
        // SAFETY: a plain question to the auxiliary vector.
        let known = unsafe { libc::getauxval(libc::AT_PHDR) } as usize;
        known == info.dlpi_phdr.addr()
    }

    /// The build's hash among the notes: each is three words, an owner's name and a value, all padded to words.
    fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
        let padded = |length: u32| (length as usize).checked_next_multiple_of(4);
        loop {
            let (head, rest) = notes.split_first_chunk::<12>()?;
            let word = |at: usize| {
                u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let (name_length, length, kind) = (word(0), word(4), word(8));
            let name = rest.get(..name_length as usize)?;
            let value = rest.get(padded(name_length)?..)?;
            if (name, kind) == BUILD_ID {
                return value.get(..length as usize);
            }
            notes = value.get(padded(length)?..)?;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn note(owner: &[u8], kind: u32, value: &[u8]) -> Vec<u8> {
            let mut note = Vec::new();
            for word in [owner.len() as u32, value.len() as u32, kind] {
                note.extend(word.to_ne_bytes());
            }
            for part in [owner, value] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        }

        #[test]
        fn the_build_id_is_found_among_other_notes() {
            let mut notes = note(b"GNU\0", 1, b"an abi tag, odd length");
            notes.extend(note(b"stapsdt\0", 3, b"x"));
            notes.extend(note(b"GNU\0", 3, b"0123456789abcdef0123"));
            assert_eq!(build_id(&notes), Some(&b"0123456789abcdef0123"[..]));
        }

        #[test]
        fn damaged_notes_have_no_build_id() {
            let whole = note(b"GNU\0", 3, b"0123456789abcdef0123");
            for length in 0..whole.len() {
                assert_eq!(build_id(&whole[..length]), None, "{length} bytes");
            }
            let mut endless = whole.clone();
            endless[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert_eq!(build_id(&endless), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_function() {}

    #[test]
    fn own_code_is_found_again_and_data_is_no_code() {
        let image = image().unwrap();
        let address = some_function as fn() as usize;
        let offset = image.offset(address).expect("it is code of this program");
        assert_eq!(image.address(offset), Some(address));
        let data = Box::new(0);
        assert_eq!(image.offset(&raw const *data as usize), None);
        assert_eq!(image.address(u64::MAX), None);
    }

    #[test]
    fn the_hash_sees_every_byte() {
        let text = b"nineteen bytes long";
        for at in 0..text.len() {
            let mut other = *text;
            other[at] ^= 1;
            assert_ne!(hash(1, text), hash(1, &other), "byte {at}");
        }
    }
}
