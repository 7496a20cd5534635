//! The bearer token of this client: where it comes from, and that it goes nowhere else.
//!
//! It is never an argument (others can read a process's arguments), never printed and
//! never part of an error.

use crate::failure::Failure;
use rustix::fs::{Mode, OFlags};
use std::{fmt, fs::File, io::Read, path::Path};
use tonic::metadata::{Ascii, MetadataValue};

/// Longest token in bytes: many times what `mosaic token create` makes.
const TOKEN_MAX: u64 = 4096;

/// A bearer token. Shows itself to nobody.
#[derive(Clone)]
pub(crate) struct Token(MetadataValue<Ascii>);

impl Token {
    /// Takes a token from text; `source` names where it came from.
    ///
    /// # Errors
    /// If it is empty or holds anything but visible ASCII characters.
    pub(crate) fn parse(text: &str, source: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let visible = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let value = format!("Bearer {text}").parse().ok().filter(|_| visible);
        let mut value: MetadataValue<Ascii> = value.ok_or_else(|| {
            Failure::input(format!(
                "{source} does not hold a token: one line of visible characters"
            ))
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Reads a token from a file that only its owner may use.
    ///
    /// # Errors
    /// If it cannot be read, if others may read or write it, or if it holds no token.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let fail =
            |why: String| Failure::input(format!("cannot read the token file {shown}: {why}"));
        // Not blocking: a named pipe must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| fail(e.to_string()))?;
        // The handle is asked, not the path: what was checked is what is read.
        let about = rustix::fs::fstat(&file).map_err(|e| fail(e.to_string()))?;
        if rustix::fs::FileType::from_raw_mode(about.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(fail("it is not a regular file".into()));
        }
        if about.st_mode & 0o077 != 0 {
            return Err(Failure::input_with_hint(
                format!(
                    "the token file {shown} may be used by others than its owner (mode {:03o})",
                    about.st_mode & 0o777
                ),
                "chmod 600 it; if it was readable for long, make a new token",
            ));
        }
        let mut text = String::new();
        let mut limited = File::from(file).take(TOKEN_MAX);
        limited
            .read_to_string(&mut text)
            .map_err(|e| fail(e.to_string()))?;
        Self::parse(&text, &format!("the token file {shown}"))
    }

    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_token_never_shows_itself() {
        let token = Token::parse("canary-secret\n", "here").unwrap();
        assert!(!format!("{token:?} {:?}", token.header()).contains("canary"));
        assert_eq!(token.header().to_str().unwrap(), "Bearer canary-secret");
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        for mode in [0o644, 0o640, 0o602] {
            let failure = Token::read(file("secret", mode).path()).unwrap_err();
            assert!(failure.to_string().contains("others"), "{mode:o}");
            assert!(failure.hint().unwrap().contains("chmod 600"));
        }
        assert!(Token::read(file("secret\n", 0o600).path()).is_ok());
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        for text in [
            "",
            "\n",
            "two words",
            "can\u{1b}ary",
            "canäry",
            &"c a".repeat(9999),
        ] {
            let failure = Token::read(file(text, 0o600).path()).unwrap_err();
            assert!(!failure.to_string().contains("can\u{1b}"), "{failure}");
            assert_eq!(failure.exit(), crate::exit::Exit::Usage);
        }
    }

    #[test]
    fn a_folder_or_a_pipe_is_no_token_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Token::read(folder.path()).is_err());
        assert!(Token::read(&folder.path().join("absent")).is_err());
    }
}
