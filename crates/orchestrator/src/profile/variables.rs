//! Which environment variables a profile may set.

use super::Invalid;

/// Checks the name of a variable, secret or not.
pub(super) fn check(name: &str) -> Result<(), Invalid> {
    const SET_BY_US: [&str; 9] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "BASH_ENV",
        "ENV",
        "NODE_OPTIONS",
    ];
    const FAMILIES: [&str; 5] = ["LD_", "GIT_", "PYTHON", "PERL5", "MOSAIC_"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !name.bytes().all(plain)
    {
        return Err(Invalid::Name(name.to_owned()));
    }
    if SET_BY_US.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Err(Invalid::Variable(name.to_owned()));
    }
    Ok(())
}
