//! What a program writes is kept byte for byte, up to its limit.

use super::bench::{Bench, written};
use orchestrator::output::{self, Stream};
use orchestrator::sandbox::{Ending, SandboxSpec};

contract! {
    both_streams_are_kept_in_order_and_byte_for_byte,
    what_is_above_the_limit_is_counted,
    reading_goes_on_where_a_cursor_points,
    output_can_be_read_while_the_program_runs,
    a_child_that_holds_the_output_open_does_not_hold_up_the_end,
}

async fn both_streams_are_kept_in_order_and_byte_for_byte(bench: &Bench) {
    let (spec, ending) = bench
        .run("printf '\\000\\377\\n'; seq 1 20000; seq 30000 -1 1 >&2; printf last; exit 2")
        .await;
    assert_eq!(ending, Ending::Exit(2));
    let lines = |range: &mut dyn Iterator<Item = u32>| {
        let lines: String = range.map(|line| format!("{line}\n")).collect();
        lines.into_bytes()
    };
    let expected = [b"\0\xff\n", lines(&mut (1..=20_000)).as_slice(), b"last"].concat();
    assert!(written(&spec, Stream::Stdout) == (expected, 0));
    assert!(written(&spec, Stream::Stderr) == (lines(&mut (1..=30_000).rev()), 0));
}

async fn what_is_above_the_limit_is_counted(bench: &Bench) {
    let spec = SandboxSpec {
        output_max: 100_000,
        ..bench.spec("head -c 1000000 /dev/zero; echo no >&2")
    };
    let (spec, ending) = bench.run_spec(spec).await;
    assert_eq!(ending, Ending::Exit(0), "it is not held up");
    let (kept, dropped) = written(&spec, Stream::Stdout);
    assert!(!kept.is_empty() && kept.len() <= 100_000, "{}", kept.len());
    assert_eq!(kept.len() as u64 + dropped, 1_000_000);
    let (kept, dropped) = written(&spec, Stream::Stderr);
    assert_eq!(kept.len() as u64 + dropped, 3);
    let size = std::fs::metadata(&spec.output).unwrap().len();
    assert!(size < 101_000, "{size}");
}

async fn reading_goes_on_where_a_cursor_points(bench: &Bench) {
    let (spec, _) = bench.run("seq 1 50000").await;
    let (all, _) = written(&spec, Stream::Stdout);
    let (mut cursor, mut read) = (0, Vec::new());
    loop {
        let chunks = output::read(&spec.output, cursor, 1).unwrap();
        let Some(chunk) = chunks.first() else { break };
        assert_eq!(chunks.len(), 1);
        read.extend_from_slice(&chunk.data);
        cursor = chunk.next;
    }
    assert!(read == all && all.len() > 200_000);
    assert!(output::read(&spec.output, cursor - 100, 1).is_err());
}

async fn output_can_be_read_while_the_program_runs(bench: &Bench) {
    let spec = bench.running("echo hello; : > ready; sleep 1000").await;
    super::bench::until("the output is there", || {
        written(&spec, Stream::Stdout).0 == b"hello\n"
    })
    .await;
    bench.remove_for_good(&spec).await;
    let kept = written(&spec, Stream::Stdout).0;
    assert_eq!(kept, b"hello\n", "it outlives the agent");
}

async fn a_child_that_holds_the_output_open_does_not_hold_up_the_end(bench: &Bench) {
    let (spec, ending) = bench.run("setsid sleep 1000 & echo said; exit 1").await;
    assert_eq!(ending, Ending::Exit(1));
    assert_eq!(written(&spec, Stream::Stdout).0, b"said\n");
}
