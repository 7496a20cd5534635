//! The demo is a promise to newcomers: it is kept in every sandbox, and leaves nothing.

use crate::world::{mosaic, said};

fn play(sandbox: &str) {
    let arguments = ["demo", "--sandbox", sandbox, "--image", "mosaic-test"];
    let told = said(mosaic().args(arguments));
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    for claim in [
        "no second one",
        "exit code 3",
        "is dead",
        "every rescue ref resolves",
        "Everything held",
    ] {
        assert!(told.out.contains(claim), "{claim}: {}", told.out);
    }
    assert!(
        !told.out.contains('\u{1b}'),
        "no colours where nobody looks"
    );
}

#[test]
fn the_demo_holds_in_docker_and_is_told_to_programs_line_by_line() {
    let image = std::process::Command::new("docker")
        .args(["image", "inspect", "mosaic-test"])
        .output();
    if !image.is_ok_and(|asked| asked.status.success()) {
        assert!(
            std::env::var_os("MOSAIC_CI").is_none(),
            "a Docker engine with the tests' image is missing: scripts/engine start"
        );
        eprintln!("!!! no Docker engine has the tests' image: its demo was NOT tested");
        return;
    }
    play("docker");
    // Without a word about the sandbox, docker comes first where it works.
    let told = said(mosaic().args(["demo", "--image", "mosaic-test", "--json"]));
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let lines: Vec<serde_json::Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_type = |wanted: &str| lines.iter().filter(|line| line["type"] == wanted).count();
    assert!(of_type("claim") >= 9, "{}", told.out);
    assert_eq!(
        (of_type("act"), of_type("end"), of_type("failure")),
        (5, 1, 0)
    );
    assert!(told.out.contains("agents live in: docker"), "{}", told.out);
}

#[test]
fn the_demo_holds_in_bubblewrap() {
    let works = std::process::Command::new("bwrap")
        .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("MOSAIC_CI").is_none(),
            "bubblewrap is missing"
        );
        eprintln!("!!! bubblewrap does not work here: its demo was NOT tested");
        return;
    }
    play("bubblewrap");
}

#[test]
fn the_demo_holds_in_plain_processes_and_warns() {
    play("process");
    let told = said(mosaic().args(["demo", "--sandbox", "process"]));
    assert!(told.out.contains("isolates nothing"), "{}", told.out);
}
