//! Places where a test can make a process die, to see what a crash right there leaves behind.
//!
//! A debug build that is started with `MOSAIC_FAILPOINT=NAME` aborts when it reaches
//! `failpoint!("NAME")`; with `MOSAIC_FAILPOINT=NAME:3` when it reaches it for the third time. It
//! says so on standard error first. In a release build the macro is nothing, and neither the
//! variable nor any name is in the program.

/// The environment variable that says where to die.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "MOSAIC_FAILPOINT";

/// Marks the moment between two side effects. The name is written once in the whole tree, as
/// `part.what_was_just_done`.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::failpoint::reached($name);
    };
}

/// Dies if this is the place to.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    let Some((wanted, hit)) = &*ARMED else { return };
    if wanted == name && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *hit {
        eprintln!("failpoint {name} reached");
        std::process::abort();
    }
}

/// What a process that is started with an empty environment needs of ours to die where it should.
#[must_use]
pub fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
    #[cfg(debug_assertions)]
    return std::env::var_os(VARIABLE).map(|value| (VARIABLE, value));
    #[cfg(not(debug_assertions))]
    None
}

#[cfg(debug_assertions)]
static ARMED: std::sync::LazyLock<Option<(String, u32)>> =
    std::sync::LazyLock::new(|| parse(&std::env::var(VARIABLE).ok()?));

#[cfg(debug_assertions)]
fn parse(value: &str) -> Option<(String, u32)> {
    let (name, hit) = value.split_once(':').unwrap_or((value, "1"));
    Some((name.to_owned(), hit.parse().ok()?))
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::parse;

    #[test]
    fn a_place_is_named_with_or_without_the_hit() {
        assert_eq!(parse("a.b"), Some(("a.b".to_owned(), 1)));
        assert_eq!(parse("a.b:3"), Some(("a.b".to_owned(), 3)));
        assert_eq!(parse("a.b:x"), None);
    }
}
