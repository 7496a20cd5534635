//! What a profile may be, and what a program is started with.

use super::*;

fn profile(toml: &str) -> Result<Profile, String> {
    let profile: Profile = toml::from_str(toml).map_err(|e| e.message().to_owned())?;
    profile.check().map_err(|e| e.to_string())?;
    Ok(profile)
}

/// What is wrong with a claude-code profile that has this line too.
fn wrong(line: &str) -> String {
    profile(&format!("kind='claude-code'\n{line}")).unwrap_err()
}

fn place(agent: &AgentId, user: User, isolation: Isolation) -> Place<'_> {
    Place {
        agent,
        home: Path::new("/d/agents/a/home"),
        user,
        isolation,
    }
}

fn agent() -> AgentId {
    "ag_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap()
}

#[test]
fn variables_that_run_other_code_are_refused() {
    for name in [
        "LD_PRELOAD",
        "GIT_SSH",
        "BASH_ENV",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "PERL5LIB",
        "PATH",
        "HOME",
    ] {
        let toml = format!("kind='command'\nargv=['sh']\nenv={{{name}='x'}}");
        assert!(profile(&toml).unwrap_err().contains("may not be set"));
        let toml = format!("kind='command'\nargv=['sh']\nsecrets={{{name}={{file='x'}}}}");
        assert!(profile(&toml).unwrap_err().contains("may not be set"));
    }
}

#[test]
fn a_profile_needs_a_program_and_nothing_unknown() {
    assert!(profile("kind='command'\nargv=['sh', '-s']").is_ok());
    assert!(profile("kind='command'\nargv=[]").is_err());
    assert!(profile("kind='command'").is_err());
    assert!(profile("kind='command'\nargv=['sh']\nrobot='x'").is_err());
    assert!(profile("kind='robot'\nargv=['sh']").is_err());
    assert_eq!(profile("kind='claude-code'").unwrap().argv, ["claude"]);
}

#[test]
fn settings_of_claude_are_refused_for_a_command() {
    for line in [
        "model='m'",
        "fallback_model='m'",
        "max_turns=1",
        "max_budget_usd=1.0",
        "append_system_prompt='x'",
        "base_url='http://x'",
        "max_retries=1",
        "start_seconds=1",
    ] {
        let said = profile(&format!("kind='command'\nargv=['sh']\n{line}")).unwrap_err();
        assert!(said.contains("only for the kind claude-code"), "{said}");
    }
}

#[test]
fn settings_that_cannot_be_are_named_and_not_shown() {
    for (field, value) in [
        ("model", "'--dangerous secret'"),
        ("fallback_model", "''"),
        ("max_turns", "0"),
        ("max_budget_usd", "0.0"),
        ("max_budget_usd", "-1.0"),
        ("max_budget_usd", "nan"),
        ("max_budget_usd", "inf"),
        ("append_system_prompt", "''"),
        ("append_system_prompt", r#""a\u0000secret""#),
        ("base_url", "'ftp://secret'"),
        ("base_url", "'https://user:secret@host'"),
        ("base_url", "'secret'"),
        ("max_retries", "11"),
        ("start_seconds", "0"),
        ("read_only", "['opt/secret']"),
        ("read_only", "['/']"),
        ("read_only", "['/proc/secret']"),
        ("read_only", "['/opt/../secret']"),
        ("read_only", "['/tmp']"),
        ("read_only", "['/run/secret.sock']"),
        ("read_only", "['/var/run/docker.sock']"),
    ] {
        let said = wrong(&format!("{field}={value}"));
        assert!(said.starts_with(field), "{value}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn flags_of_the_protocol_are_refused_in_argv() {
    for flag in [
        "-p",
        "--print",
        "--output-format",
        "--output-format=text",
        "--input-format",
        "--session-id",
        "--resume",
        "-r",
        "--continue",
        "-pc",
        "--permission-mode",
        "--permission-mode=plan",
        "--setting-sources",
        "--model",
        "--",
    ] {
        let said = wrong(&format!("argv=['claude', '{flag}', 'x']"));
        assert!(said.starts_with("argv may not have"), "{flag}: {said}");
    }
    let fine = "kind='claude-code'\nargv=['/opt/c/claude', '--disallowedTools', 'WebFetch']";
    assert!(profile(fine).is_ok());
}

#[test]
fn keys_belong_under_secrets_and_our_variables_nowhere() {
    assert!(wrong("env={ANTHROPIC_API_KEY='x'}").contains("under secrets"));
    for name in [
        "IS_SANDBOX",
        "CLAUDE_CONFIG_DIR",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_SUBPROCESS_ENV_SCRUB",
    ] {
        assert!(wrong(&format!("env={{{name}='x'}}")).contains("may not be set"));
    }
    assert!(profile("kind='claude-code'\nsecrets={ANTHROPIC_API_KEY={file='/k'}}").is_ok());
}

#[test]
fn a_task_never_stands_on_the_command_line_and_is_one_line_of_input() {
    let profile =
        profile("kind='claude-code'\nmodel='m'\nmax_turns=3\nmax_budget_usd=0.5").unwrap();
    let agent = agent();
    let place = place(&agent, User::Other, Isolation::Sandbox);
    assert_eq!(
        profile.command_line(&place),
        [
            "claude",
            "--print",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--verbose",
            "--dangerously-skip-permissions",
            "--strict-mcp-config",
            &format!("--session-id={}", agent.uuid()),
            "--model=m",
            "--max-turns=3",
            "--max-budget-usd=0.5",
        ]
    );
    let input = profile.stdin("first\n\"second\"");
    let lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
    assert_eq!((lines.len(), lines[1]), (2, &b""[..]));
    let message: serde_json::Value = serde_json::from_slice(lines[0]).unwrap();
    assert_eq!(message["message"]["content"], "first\n\"second\"");
}

#[test]
fn a_repository_cannot_run_programs_where_nothing_isolates_them() {
    let profile = profile("kind='claude-code'").unwrap();
    let agent = agent();
    let bare = profile.command_line(&place(&agent, User::Other, Isolation::None));
    assert!(bare.contains(&"--setting-sources=user".to_owned()));
    assert!(bare.contains(&"--add-dir=.".to_owned()));
    let inside = profile.command_line(&place(&agent, User::Other, Isolation::Sandbox));
    assert!(!inside.iter().any(|flag| flag.contains("setting-sources")));
}

#[test]
fn only_root_is_told_that_it_is_in_a_sandbox() {
    let profile = profile("kind='claude-code'\nbase_url='http://127.0.0.1:1'").unwrap();
    let agent = agent();
    let of = |user| {
        profile
            .environment(&place(&agent, user, Isolation::Sandbox))
            .unwrap()
    };
    assert_eq!(of(User::Root).get("IS_SANDBOX").unwrap(), "1");
    let env = of(User::Other);
    assert!(!env.contains_key("IS_SANDBOX"));
    assert_eq!(env["CLAUDE_CONFIG_DIR"], "/d/agents/a/home/.claude");
    assert_eq!(env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"], "1");
    assert_eq!(env["ANTHROPIC_BASE_URL"], "http://127.0.0.1:1");
}
