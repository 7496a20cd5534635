//! `mosaic logs`: prints what an agent wrote, its streams apart.

use super::{AgentArgs, Context};
use crate::{
    console::{Console, Form},
    escape::StreamEscaper,
    exit::Exit,
    failure::Failure,
    follow::Follow,
    view::bytes::OutputView,
};
use mosaic_common::proto::agent::v1 as pb;
use std::io::{self, Write};

/// Whose output, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// Wait for more until the agent has ended
    #[arg(long, short)]
    follow: bool,
    /// Go on here: a `nextCursor` of --json
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    cursor: u64,
    /// Print the exact bytes: they may hold terminal sequences that the agent chose
    #[arg(long)]
    raw: bool,
}

/// Prints output from a cursor on, also across broken connections.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: &LogsArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut request = pb::LogsRequest {
        site: args.agent.site(),
        agent_id: args.agent.agent.to_string(),
        cursor: args.cursor,
        follow: args.follow,
    };
    let mut printer = match (context.console.form(), args.raw) {
        (Form::Json, _) => Printer::Json(context.console),
        (Form::Human, true) => Printer::Raw,
        (Form::Human, false) => Printer::Escaped(Escapers::default()),
    };
    let mut follow = Follow::new();
    loop {
        let open = async || {
            let answer = client.agents.clone().logs(request.clone()).await?;
            Ok(answer.into_inner())
        };
        let Some(chunk) = follow.next(open).await? else {
            break;
        };
        // Never back, whatever a server sends.
        request.cursor = request.cursor.max(chunk.next_cursor);
        if chunk.dropped_bytes > 0 {
            let lost = chunk.dropped_bytes;
            context.console.note(&format!(
                "[{lost} bytes are missing: the output limit was reached]"
            ));
        }
        printer.print(&chunk)?;
    }
    printer.finish()?;
    Ok(Exit::Done)
}

/// Where chunks go, and in which form.
enum Printer {
    Json(Console),
    Raw,
    Escaped(Escapers),
}

/// Each stream may be cut within a character.
#[derive(Default)]
struct Escapers {
    out: StreamEscaper,
    err: StreamEscaper,
}

impl Printer {
    fn print(&mut self, chunk: &pb::LogsResponse) -> Result<(), Failure> {
        let stream = chunk.stream();
        match self {
            Self::Json(console) => console.object(&OutputView::from(chunk)),
            Self::Raw => write(stream, &chunk.data),
            Self::Escaped(escapers) => {
                let escaper = match stream {
                    pb::OutputStream::Stderr => &mut escapers.err,
                    pb::OutputStream::Stdout | pb::OutputStream::Unspecified => &mut escapers.out,
                };
                write(stream, escaper.push(&chunk.data).as_bytes())
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        let Self::Escaped(mut escapers) = self else {
            return Ok(());
        };
        write(pb::OutputStream::Stdout, escapers.out.finish().as_bytes())?;
        write(pb::OutputStream::Stderr, escapers.err.finish().as_bytes())
    }
}

/// The agent's streams become ours, as with any program that runs another.
fn write(stream: pb::OutputStream, bytes: &[u8]) -> Result<(), Failure> {
    fn all(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
        out.write_all(bytes)?;
        out.flush()
    }
    match stream {
        pb::OutputStream::Stderr => all(io::stderr().lock(), bytes),
        pb::OutputStream::Stdout | pb::OutputStream::Unspecified => all(io::stdout().lock(), bytes),
    }
    .map_err(Failure::Output)
}
