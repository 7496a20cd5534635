//! The demo is a promise to newcomers: it is kept in every sandbox, and leaves nothing.

use crate::world::{mosaic, said};

fn play(sandbox: &str) {
    let told = said(mosaic().args(["demo", "--sandbox", sandbox]));
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
