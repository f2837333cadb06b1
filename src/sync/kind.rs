//! What a lock calls itself in reports.

use std::any::type_name;
use std::fmt;

/// The kind of a lock and of what is in it. Made of constants: costs nothing before it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Of the wait: `wing.verb`.
    pub(super) reason: &'static str,
    /// With its article.
    name: &'static str,
    of: &'static str,
}

impl Kind {
    #[inline]
    pub(super) fn of<T: ?Sized>(reason: &'static str, name: &'static str) -> Self {
        Kind {
            reason,
            name,
            of: type_name::<T>(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<{}>", self.name, Short(self.of))
    }
}

/// A type's name without the paths in it.
struct Short(&'static str);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in_path = |c: char| c.is_alphanumeric() || "_:{}#".contains(c);
        let mut rest = self.0;
        while let Some(first) = rest.chars().next() {
            let end = match is_in_path(first) {
                true => rest.find(|c| !is_in_path(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            let (part, after) = rest.split_at(end);
            f.write_str(part.rsplit("::").next().unwrap_or(part))?;
            rest = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_types_name_is_told_without_paths() {
        type Many = Vec<(Option<String>, &'static [u8])>;
        let short = |name| Short(name).to_string();
        assert_eq!(short(type_name::<Many>()), "Vec<(Option<String>, &[u8])>");
        assert_eq!(
            short(type_name::<dyn fmt::Debug + Send>()),
            "dyn Debug + Send"
        );
        assert_eq!(
            Kind::of::<()>("sync.mutex", "a Mutex").to_string(),
            "a Mutex<()>"
        );
    }
}
