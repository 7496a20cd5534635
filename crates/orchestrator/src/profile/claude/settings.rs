//! What a profile may say about Claude Code, and the command line and environment made of it.

use super::super::{Invalid, Isolation, Place, User};
use std::path::Path;

/// What a profile may say about Claude Code.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The model; `None`: the program's own choice.
    pub model: Option<String>,
    /// The model that is tried where the first has no room.
    pub fallback_model: Option<String>,
    /// Most turns of the model.
    pub max_turns: Option<u32>,
    /// Most dollars, by the program's own estimate.
    pub max_budget_usd: Option<f64>,
    /// Text that comes after the program's own system prompt.
    pub append_system_prompt: Option<String>,
    /// The model's server; `None`: the program's own choice.
    pub base_url: Option<String>,
    /// How often a call of the model's server is tried again. Four take ten seconds; the
    /// program's own ten take three minutes, also for a key that is wrong.
    pub max_retries: u32,
    /// Seconds from the start of the program until it must have begun. It takes two, and four on
    /// a machine under load.
    pub start_seconds: u64,
}

/// Longest text of a system prompt: an argument of Linux holds 128 KiB.
const PROMPT_MAX: usize = 64 * 1024;

/// Flags that are ours: with another value the output could not be understood, the program would
/// wait for a person, or the repository could say what runs. Others stand in the profile.
const OURS: [&str; 27] = [
    "--print",
    "--input-format",
    "--output-format",
    "--verbose",
    "--include-partial-messages",
    "--replay-user-messages",
    "--session-id",
    "--resume",
    "--continue",
    "--fork-session",
    "--no-session-persistence",
    "--from-pr",
    "--permission-mode",
    "--permission-prompt-tool",
    "--permission-prompts",
    "--dangerously-skip-permissions",
    "--allow-dangerously-skip-permissions",
    "--strict-mcp-config",
    "--setting-sources",
    "--model",
    "--fallback-model",
    "--max-turns",
    "--max-budget-usd",
    "--append-system-prompt",
    "--bare",
    "--help",
    "--version",
];

/// Variables that are ours, or that would undo what ours are for.
const OUR_VARIABLES: [&str; 11] = [
    "ANTHROPIC_BASE_URL",
    "CLAUDECODE",
    "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_MAX_RETRIES",
    "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST",
    "CLAUDE_CODE_SUBPROCESS_ENV_SCRUB",
    "CLAUDE_CONFIG_DIR",
    "DISABLE_AUTOUPDATER",
    "IS_SANDBOX",
];

/// Variables that hold keys, which have a table of their own.
const KEYS: [&str; 3] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

impl Settings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |field, problem| Err(Invalid::Setting { field, problem });
        for (field, model) in [
            ("model", &self.model),
            ("fallback_model", &self.fallback_model),
        ] {
            if model.as_ref().is_some_and(|model| !is_model(model)) {
                return wrong(
                    field,
                    "must be 1 to 128 characters of [A-Za-z0-9._:/@[]-], the first a letter or digit",
                );
            }
        }
        if self.max_turns == Some(0) {
            return wrong("max_turns", "must be at least 1");
        }
        let is_budget = |most: f64| most.is_finite() && most > 0.0 && most <= 1e6;
        if self.max_budget_usd.is_some_and(|most| !is_budget(most)) {
            return wrong("max_budget_usd", "must be above 0 and at most 1000000");
        }
        let is_prompt =
            |text: &String| !text.is_empty() && text.len() <= PROMPT_MAX && !text.contains('\0');
        if self
            .append_system_prompt
            .as_ref()
            .is_some_and(|text| !is_prompt(text))
        {
            return wrong("append_system_prompt", "must be 1 byte to 64 KiB of text");
        }
        if self.base_url.as_ref().is_some_and(|url| !is_server(url)) {
            return wrong(
                "base_url",
                "must be http:// or https:// and a server, without a user or password",
            );
        }
        if self.max_retries > 10 {
            return wrong("max_retries", "must be at most 10");
        }
        if !(1..=600).contains(&self.start_seconds) {
            return wrong("start_seconds", "must be 1 to 600");
        }
        Ok(())
    }

    /// The arguments that come after the profile's own.
    pub(crate) fn arguments(&self, place: &Place<'_>) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--print",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--verbose",
            "--dangerously-skip-permissions",
            "--strict-mcp-config",
        ]
        .map(String::from)
        .into();
        let session = Some(place.agent.uuid());
        let budget = self.max_budget_usd.map(|most| most.to_string());
        let turns = self.max_turns.map(|most| most.to_string());
        for (flag, value) in [
            ("session-id", &session),
            ("model", &self.model),
            ("fallback-model", &self.fallback_model),
            ("max-turns", &turns),
            ("max-budget-usd", &budget),
            ("append-system-prompt", &self.append_system_prompt),
        ] {
            arguments.extend(value.iter().map(|value| format!("--{flag}={value}")));
        }
        if place.isolation == Isolation::None {
            // A repository's settings can run programs; its CLAUDE.md is only read.
            arguments.extend(["--setting-sources=user", "--add-dir=."].map(String::from));
        }
        arguments
    }

    /// The variables it sets.
    pub(crate) fn environment(&self, place: &Place<'_>) -> Vec<(String, String)> {
        let mut variables = vec![
            ("CLAUDE_CONFIG_DIR", text(&place.home.join(".claude"))),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", self.max_retries.to_string()),
            // A repository's settings may not send the key elsewhere.
            ("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ];
        variables.extend(self.base_url.clone().map(|url| ("ANTHROPIC_BASE_URL", url)));
        if place.user == User::Root {
            // Without it the program refuses to work as root.
            variables.push(("IS_SANDBOX", "1".to_owned()));
        }
        if place.isolation == Isolation::None {
            let read = "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD";
            variables.push((read, "1".to_owned()));
        }
        let own = |(name, value): (&str, String)| (name.to_owned(), value);
        variables.into_iter().map(own).collect()
    }
}

/// What the program reads: the task as one message, and then the end.
pub(crate) fn stdin(task: &str) -> Vec<u8> {
    let message = serde_json::json!({
        "type": "user",
        "message": {"role": "user", "content": task},
    });
    format!("{message}\n").into_bytes()
}

/// Checks the profile's own arguments: long options that are not ours, and their values.
///
/// # Errors
/// The argument that may not be there.
pub(crate) fn check_arguments(arguments: &[String]) -> Result<(), Invalid> {
    for argument in arguments {
        let name = argument.split('=').next().unwrap_or_default();
        let short = name.starts_with('-') && !name.starts_with("--");
        if short || name == "--" || OURS.contains(&name) {
            return Err(Invalid::Argument(name.to_owned()));
        }
    }
    Ok(())
}

/// Checks the name of a variable, secret or not.
///
/// # Errors
/// The variable that may not be there.
pub(crate) fn check_variable(name: &str) -> Result<(), Invalid> {
    if OUR_VARIABLES.contains(&name) {
        return Err(Invalid::Variable(name.to_owned()));
    }
    Ok(())
}

/// Checks the name of a variable whose value is in the clear.
///
/// # Errors
/// The variable that holds a key.
pub(crate) fn check_in_the_clear(name: &str) -> Result<(), Invalid> {
    if KEYS.contains(&name) {
        return Err(Invalid::Key(name.to_owned()));
    }
    Ok(())
}

fn is_model(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/@[]-".contains(&b))
}

fn is_server(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else {
        return false;
    };
    let scheme = matches!(url.scheme_str(), Some("http" | "https"));
    scheme
        && url.host().is_some_and(|host| !host.is_empty())
        && url
            .authority()
            .is_some_and(|there| !there.as_str().contains('@'))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
