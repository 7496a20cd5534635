//! `ps`, `status`, `commands`, `connections`, `sites`.

use crate::{
    program::Home,
    server::{AGENT, agent, got, start, start_local, start_tls},
};
use mosaic_common::proto::{
    agent::v1::{self as pb, AgentState},
    federation::v1 as fed,
};

#[tokio::test]
async fn ps_reads_every_page_and_prints_one_object_a_line() {
    let (endpoint, script) = start().await;
    for token in ["next", ""] {
        script.list.answer(Ok(pb::ListResponse {
            agents: vec![agent(AgentState::Running)],
            next_page_token: token.into(),
            unreachable: vec![],
        }));
    }
    let run = Home::with(&endpoint).run(&["ps", "--json"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.json_lines().iter().all(|line| line["agentId"] == AGENT));
    let asked = script.list.asked();
    assert_eq!(
        (run.json_lines().len(), asked[1].page_token.as_str()),
        (2, "next")
    );
    assert_eq!(asked[0].states, [1, 2, 3, 4], "only live ones unless asked");
}

#[tokio::test]
async fn a_server_that_repeats_its_page_token_is_not_asked_for_ever() {
    let (endpoint, script) = start().await;
    for _ in 0..2 {
        script.list.answer(Ok(pb::ListResponse {
            agents: vec![agent(AgentState::Running)],
            next_page_token: "same".into(),
            unreachable: vec![],
        }));
    }
    assert_eq!(Home::with(&endpoint).run(&["ps"]).await.code, 0);
    assert_eq!(script.list.asked().len(), 2);
}

#[tokio::test]
async fn ps_lists_what_it_got_and_says_who_was_silent() {
    let (endpoint, script) = start().await;
    script.list.answer(Ok(pb::ListResponse {
        agents: vec![agent(AgentState::Running)],
        next_page_token: String::new(),
        unreachable: vec![pb::Unreachable {
            site: "far".into(),
            detail: "\u{1b}[31mno route".into(),
        }],
    }));
    let run = Home::with(&endpoint).run(&["ps"]).await;
    assert_eq!(run.code, 5, "{run:?}");
    assert!(run.stdout().contains(AGENT));
    assert!(
        run.stderr.contains("far did not answer: \\x1b[31mno route"),
        "{run:?}"
    );
}

#[tokio::test]
async fn hostile_text_of_an_agent_reaches_no_terminal() {
    let (endpoint, script) = start().await;
    let mut hostile = agent(AgentState::Failed);
    hostile.cause = Some(pb::Cause {
        kind: Some(pb::cause::Kind::SpawnFailed(pb::SpawnFailed {
            step: "sandbox".into(),
            detail: "\u{1b}[2J\r\n\u{9b}31m\u{202e}".into(),
        })),
    });
    let home = Home::with(&endpoint);
    for arguments in [
        ["status", AGENT].as_slice(),
        &["ps", "--all"],
        &["status", AGENT, "--json"],
    ] {
        script.get.answer(Ok(pb::GetResponse {
            agent: Some(hostile.clone()),
        }));
        script.list.answer(Ok(pb::ListResponse {
            agents: vec![hostile.clone()],
            ..Default::default()
        }));
        let run = home.run(arguments).await;
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert_eq!(
            (run.code, run.stdout().contains(is_bad)),
            (0, false),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn status_works_over_a_spokes_socket_without_a_token() {
    let home = Home::new();
    let socket = home.path().join("spoke.sock");
    let script = start_local(&socket);
    script.get.answer(got(AgentState::Running));
    let endpoint = format!("unix:{}", socket.display());
    let home = home.variable("MOSAIC_TOKEN", "canary-secret");
    let run = home
        .run(&["--endpoint", &endpoint, "status", AGENT, "--json"])
        .await;
    assert_eq!(
        (run.code, run.json()["state"].as_str()),
        (0, Some("running")),
        "{run:?}"
    );
    assert_eq!(*script.tokens.lock().unwrap(), [None]);
}

#[tokio::test]
async fn a_hub_with_tls_gets_the_token_only_if_its_certificate_is_trusted() {
    let (endpoint, certificate, script) = start_tls().await;
    let (_, other, _) = start_tls().await;
    let home = Home::with(&endpoint).variable("MOSAIC_TOKEN", "canary-secret");
    let ca = home.path().join("ca.pem");
    let line = ["--ca", ca.to_str().unwrap(), "status", AGENT];
    std::fs::write(&ca, other).unwrap();
    assert_eq!(home.run(&line).await.code, 5);
    assert!(script.tokens.lock().unwrap().is_empty());

    std::fs::write(&ca, certificate).unwrap();
    script.get.answer(got(AgentState::Running));
    let run = home.run(&line).await;
    assert_eq!(run.code, 0, "{run:?}");
    let tokens = script.tokens.lock().unwrap();
    assert_eq!(*tokens, [Some("Bearer canary-secret".to_owned())]);
}

#[tokio::test]
async fn commands_connections_and_sites_have_stable_fields() {
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    script.commands.answer(Ok(fed::ListCommandsResponse {
        commands: vec![fed::CommandRecord {
            kind: fed::CommandKind::Kill.into(),
            outcome: fed::CommandOutcome::Delivered.into(),
            ..Default::default()
        }],
        next_page_token: String::new(),
    }));
    let run = home.run(&["commands", "--json"]).await;
    assert_eq!(
        (run.json()["kind"].clone(), run.json()["outcome"].clone()),
        ("kill".into(), "delivered".into())
    );
    for command in ["connections", "sites"] {
        script.connections.answer(Ok(fed::ListConnectionsResponse {
            connections: vec![fed::Connection {
                connection_id: "hub-lab".into(),
                site: "lab".into(),
                state: fed::ConnectionState::Active.into(),
                ..Default::default()
            }],
        }));
        let line = home.run(&[command, "--json"]).await.json();
        assert_eq!(
            (line["site"].clone(), line["state"].clone()),
            ("lab".into(), "active".into())
        );
    }
}
