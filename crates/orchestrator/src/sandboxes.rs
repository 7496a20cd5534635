//! The sandboxes this spoke may use, and why it may not use the others.

use crate::sandbox::Sandbox;
use mosaic_common::{Alias, Reason, Refusal};
use std::sync::Arc;

/// The sandboxes of one spoke; the first is its default.
#[derive(Debug, Clone, Default)]
pub struct Sandboxes {
    usable: Vec<Arc<dyn Sandbox>>,
    unusable: Vec<(String, String)>,
    disabled: Vec<Alias>,
}

impl Sandboxes {
    /// Adds one that works, after those added before.
    #[must_use]
    pub fn with(mut self, sandbox: Arc<dyn Sandbox>) -> Self {
        self.usable.push(sandbox);
        self
    }

    /// Adds one that does not, and why.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>, why: impl Into<String>) -> Self {
        self.unusable.push((name.into(), why.into()));
        self
    }

    /// Adds one that the operator has forbidden: nothing ever asks it for anything.
    #[must_use]
    pub fn forbidding(mut self, name: Alias) -> Self {
        self = self.without(name.as_str(), "the configuration disables it");
        self.disabled.push(name);
        self
    }

    /// Whether the operator has forbidden it.
    #[must_use]
    pub fn is_forbidden(&self, name: &Alias) -> bool {
        self.disabled.contains(name)
    }

    /// The one of this name; of no name, the default.
    ///
    /// # Errors
    /// [`Reason::SandboxUnavailable`] with why.
    pub fn get(&self, name: Option<&Alias>) -> Result<&Arc<dyn Sandbox>, Refusal> {
        let found = match name {
            Some(name) => self.usable.iter().find(|sandbox| sandbox.name() == *name),
            None => self.usable.first(),
        };
        found.ok_or_else(|| Refusal::new(Reason::SandboxUnavailable, self.why_not(name)))
    }

    /// Those that work, the default first.
    pub fn usable(&self) -> impl Iterator<Item = &Arc<dyn Sandbox>> {
        self.usable.iter()
    }

    /// Those that do not: name and why.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unusable
            .iter()
            .map(|(name, why)| (name.as_str(), why.as_str()))
    }

    fn why_not(&self, name: Option<&Alias>) -> String {
        let Some(name) = name else {
            return "this spoke has no sandbox that works".to_owned();
        };
        match self
            .unusable
            .iter()
            .find(|(unusable, _)| unusable == name.as_str())
        {
            Some((_, why)) => format!("the sandbox {name} cannot be used here: {why}"),
            None => format!("the sandbox {name} is not configured here"),
        }
    }
}
