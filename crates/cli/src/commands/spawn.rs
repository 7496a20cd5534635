//! `mosaic spawn`: starts an agent once, however often the connection breaks.

use super::{Context, command_id, site, watch::show};
use crate::{
    client::quick,
    console::Form,
    exit::Exit,
    failure::Failure,
    follow::{Events, Follow, is_finished},
    quantity::{parse_cpus, parse_label, parse_size, parse_span},
    retry, task_text,
    view::agent::AgentView,
};
use mosaic_common::{
    AgentId, Alias, CommandId, TaskId,
    agent::{BaseRef, wire::parse_cause},
    proto::{agent::v1 as pb, duration},
};
use pb::watch_response::Item;
use std::time::Duration;

/// What to start.
#[derive(Debug, clap::Args)]
pub(crate) struct SpawnArgs {
    /// What the agent shall do: the text itself, @FILE, or - for standard input
    #[arg(value_name = "TASK")]
    task: String,
    /// Where it shall run
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
    /// The repository it works on; without one it gets no worktree
    #[arg(long, value_name = "ALIAS")]
    repo: Option<Alias>,
    /// The branch, tag or full commit id to start from
    #[arg(long, value_name = "REF", requires = "repo")]
    r#ref: Option<BaseRef>,
    /// How it is started: an agent profile of the spoke
    #[arg(long, value_name = "ALIAS")]
    profile: Option<Alias>,
    /// Where it lives, such as bubblewrap or docker
    #[arg(long, value_name = "ALIAS")]
    sandbox: Option<Alias>,
    /// Its id; chosen from the command id if left out
    #[arg(long, value_name = "ID")]
    id: Option<AgentId>,
    /// Your own name for the work
    #[arg(long, value_name = "NAME")]
    task_id: Option<TaskId>,
    /// Most memory of all its processes, such as 2GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Most processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    cpus: Option<u32>,
    /// Most processes and threads
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Option<u32>,
    /// Longest life, such as 1h
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    wall_clock: Option<Duration>,
    /// Longest silence, such as 10m
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    idle: Option<Duration>,
    /// Most of the disk, everything in its own folder, such as 10GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk: Option<u64>,
    /// A label; may be given up to 16 times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Makes a later repeat the same request: 32 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    command_id: Option<CommandId>,
    /// Follow it to its end, and exit by its outcome
    #[arg(long)]
    wait: bool,
}

impl SpawnArgs {
    fn request(self) -> Result<pb::SpawnRequest, Failure> {
        fn text(name: Option<impl ToString>) -> String {
            name.map(|name| name.to_string()).unwrap_or_default()
        }
        let limits = pb::Limits {
            memory_bytes: self.memory.unwrap_or_default(),
            cpu_millis: self.cpus.unwrap_or_default(),
            pids: self.pids.unwrap_or_default(),
            wall_clock: self.wall_clock.map(duration),
            idle: self.idle.map(duration),
            disk_bytes: self.disk.unwrap_or_default(),
        };
        let spec = pb::AgentSpec {
            agent_id: text(self.id),
            task_id: text(self.task_id),
            repository: text(self.repo),
            base_ref: text(self.r#ref),
            profile: text(self.profile),
            sandbox: text(self.sandbox),
            task: task_text::read(&self.task)?,
            limits: Some(limits),
            labels: self.labels.into_iter().collect(),
        };
        Ok(pb::SpawnRequest {
            site: site(self.site.as_ref()),
            command_id: command_id(self.command_id),
            spec: Some(spec),
        })
    }
}

/// Starts an agent, and waits for its end if that is wanted.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: SpawnArgs, context: &Context) -> Result<Exit, Failure> {
    let waits = args.wait;
    let request = args.request()?;
    let agents = context.client()?.agents;
    // Every try carries the same command id: the server answers a repeat with the same agent.
    let answer = retry::call(|| {
        let (mut agents, request) = (agents.clone(), quick(request.clone()));
        async move { agents.spawn(request).await }
    });
    let accepted = answer.await?.into_inner().agent;
    let accepted = accepted.ok_or(Failure::Answer("agent"))?;
    if !waits {
        print_accepted(context, accepted)?;
        return Ok(Exit::Done);
    }
    context.console.note(&format!(
        "{} was accepted at {}; `mosaic kill {0}` ends it",
        accepted.agent_id, accepted.site
    ));
    wait(context, &accepted).await
}

fn print_accepted(context: &Context, accepted: pb::Agent) -> Result<(), Failure> {
    let view = AgentView::from(accepted);
    match context.console.form() {
        Form::Json => context.console.object(&view),
        Form::Human => {
            context.console.note(&format!(
                "{} at {}; `mosaic watch {}` follows it",
                view.state, view.site, view.agent_id
            ));
            // The id alone is the answer, so that a script can keep it.
            let paint = crate::console::Paint::Plain;
            context.console.line(paint, &view.agent_id)
        }
    }
}

/// Follows the agent until its ending has been carried out.
async fn wait(context: &Context, accepted: &pb::Agent) -> Result<Exit, Failure> {
    let request = pb::WatchRequest {
        site: accepted.site.clone(),
        agent_id: accepted.agent_id.clone(),
        after: 0,
        no_follow: false,
    };
    let mut events = Events::new(context.client()?, request, Follow::patient());
    loop {
        let waiting = context.console.waiting("waiting for its end");
        let item = events.next().await?;
        drop(waiting);
        let is_last = match &item {
            Some(Item::Event(event)) => event.r#type == "agent.cleanup",
            // What is missing may have been the last one.
            Some(Item::Gap(_)) | None => true,
        };
        if let (Some(item), Form::Human) = (item, context.console.form()) {
            show(context.console, item)?;
        }
        if is_last && let Some(exit) = outcome(context, accepted).await? {
            return Ok(exit);
        }
    }
}

/// Asks how the agent ended; `None`: it has not.
async fn outcome(context: &Context, accepted: &pb::Agent) -> Result<Option<Exit>, Failure> {
    let agents = context.client()?.agents;
    let answer = retry::call(|| {
        let mut agents = agents.clone();
        let request = quick(pb::GetRequest {
            site: accepted.site.clone(),
            agent_id: accepted.agent_id.clone(),
        });
        async move { agents.get(request).await }
    });
    let agent = answer.await?.into_inner().agent;
    let agent = agent.ok_or(Failure::Answer("agent"))?;
    let cause = agent.cause.as_ref().and_then(parse_cause);
    let Some(exit) = AgentView::known_state(&agent)
        .filter(|_| is_finished(&agent))
        .and_then(|state| Exit::of_end(state, cause.as_ref()))
    else {
        return Ok(None);
    };
    if context.console.form() == Form::Json {
        context.console.object(&AgentView::from(agent))?;
    }
    Ok(Some(exit))
}
