//! The engine's API, each call with a bounded life, an idempotent meaning, and an error that
//! names the step. Nobody else speaks to it.

use super::seen::Seen;
use crate::sandbox::Error;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as ApiError;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use mosaic_common::failpoint;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take, in seconds: a busy engine needs many for a container.
const ANSWER: u64 = 60;

/// How long a look, or a signal, may take: a killswitch waits for these.
const LOOK: Duration = Duration::from_secs(10);

/// How long a removed container may take to be gone: its file systems are unmounted first.
const GONE: Duration = Duration::from_secs(30);

/// How often a container that is being removed is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A pipe into a container.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// One engine.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) api: bollard::Docker,
    /// Held while a network is made or removed.
    pub(super) making: Arc<Mutex<()>>,
}

/// Whether a container was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    New,
    Exists,
}

impl Engine {
    /// The engine at this Unix socket; it is not asked yet.
    ///
    /// # Errors
    /// If there is no such socket.
    pub(super) fn connect(socket: &Path) -> Result<Self, String> {
        let path = socket.to_str().ok_or("the socket's path is not text")?;
        bollard::Docker::connect_with_unix(path, ANSWER, bollard::API_DEFAULT_VERSION)
            .map(|api| Self {
                api,
                making: Arc::default(),
            })
            .map_err(|error| error.to_string())
    }

    /// Asks whether it answers.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn ping(&self) -> Result<(), String> {
        match timeout(LOOK, self.api.ping()).await {
            Ok(answer) => answer.map(drop).map_err(|error| reason(&error)),
            Err(_) => Err(format!("it does not answer within {} s", LOOK.as_secs())),
        }
    }

    /// Whether an image is there.
    pub(super) async fn has_image(&self, image: &str) -> Result<bool, Error> {
        found("look for the image", self.api.inspect_image(image))
            .await
            .map(|image| image.is_some())
    }

    /// Fetches an image. As slow as the network is.
    pub(super) async fn pull(&self, image: &str) -> Result<(), String> {
        let tagged = if image.contains('@')
            || image
                .rsplit('/')
                .next()
                .is_some_and(|name| name.contains(':'))
        {
            image.to_owned()
        } else {
            format!("{image}:latest") // without a tag the engine fetches all of them
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&tagged)
            .build();
        let pulled = self.api.create_image(Some(options), None, None);
        pulled
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| reason(&error))
    }

    /// Creates a container, unless there is one of that name.
    pub(super) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<Created, Error> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        match self.api.create_container(Some(options), body).await {
            Ok(_) => Ok(Created::New),
            Err(error) if status(&error) == Some(409) => Ok(Created::Exists),
            Err(error) => Err(Error::Start(reason(&error))),
        }
    }

    /// Opens the standard input of a container, before it is started.
    pub(super) async fn attach(&self, name: &str) -> Result<Input, Error> {
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stream(true)
            .build();
        let attached = self.api.attach_container(name, Some(options)).await;
        let AttachContainerResults { input, .. } =
            attached.map_err(failed("attach to the container"))?;
        Ok(input)
    }

    /// Starts a container.
    pub(super) async fn start(&self, name: &str) -> Result<(), Error> {
        let started = self
            .api
            .start_container(name, None::<StartContainerOptions>)
            .await;
        started.map_err(|error| Error::Start(reason(&error)))
    }

    /// Looks at a container; `None` if there is none.
    pub(super) async fn inspect(&self, name: &str) -> Result<Option<Seen>, Error> {
        let look = self
            .api
            .inspect_container(name, None::<InspectContainerOptions>);
        let look = found("look at the container", look);
        in_time("look at the container", look)
            .await
            .map(|seen| seen.map(Seen::from))
    }

    /// Sends a signal to a container's first process. Succeeds if nothing runs there.
    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        let kill = async {
            match self.api.kill_container(name, Some(options)).await {
                Err(error) if !matches!(status(&error), Some(404 | 409)) => {
                    Err(failed("kill the container")(error))
                }
                Ok(()) | Err(_) => Ok(()),
            }
        };
        in_time("kill the container", kill).await
    }

    /// Lets a paused container go on. Succeeds if it is not paused.
    pub(super) async fn unpause(&self, name: &str) -> Result<(), Error> {
        match self.api.unpause_container(name).await {
            Err(error) if status(&error).is_none() => Err(failed("unpause the container")(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a container and its anonymous volumes, and sees that it is gone. Kills what runs there.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let options = RemoveContainerOptionsBuilder::default()
                .force(true)
                .v(true)
                .build();
            match self.api.remove_container(name, Some(options)).await {
                // 409: somebody else removes it already.
                Err(error) if !matches!(status(&error), Some(404 | 409)) => {
                    return Err(failed("remove the container")(error));
                }
                Ok(()) | Err(_) => {}
            }
            if self.inspect(name).await?.is_none() {
                return Ok(());
            }
            if begun.elapsed() > GONE {
                let why = io::Error::other("it is still there");
                return Err(Error::System {
                    step: "remove the container",
                    source: why,
                });
            }
            sleep(POLL).await;
        }
    }

    /// The value of one label of every container, running or not, that bears all of `labels`.
    pub(super) async fn list(
        &self,
        labels: &HashMap<String, String>,
        wanted: &str,
    ) -> Result<Vec<String>, Error> {
        let filter = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let filters: HashMap<&str, Vec<String>> = HashMap::from([("label", filter)]);
        let filters: HashMap<String, Vec<String>> = filters
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let listed = self.api.list_containers(Some(options)).await;
        let listed = listed.map_err(failed("list the containers"))?;
        let labels = listed.into_iter().filter_map(|container| container.labels);
        Ok(labels
            .filter_map(|mut labels| labels.remove(wanted))
            .collect())
    }

    /// What a container wrote, from the beginning; `follow` until it has stopped.
    pub(super) fn log(
        &self,
        name: &str,
        follow: bool,
    ) -> impl Stream<Item = io::Result<Logged>> + Unpin + use<> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .build();
        let pieces = self
            .api
            .logs(name, Some(options))
            .filter_map(|piece| async {
                match piece {
                    Ok(LogOutput::StdOut { message }) => Some(Ok(Logged::Out(message))),
                    Ok(LogOutput::StdErr { message }) => Some(Ok(Logged::Err(message))),
                    Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. }) => None,
                    Err(error) => Some(Err(io::Error::other(error))),
                }
            });
        Box::pin(pieces)
    }
}

/// A piece of a container's log.
#[derive(Debug)]
pub(super) enum Logged {
    Out(bytes::Bytes),
    Err(bytes::Bytes),
}

/// Writes what a container's first process is to know, and closes its input.
pub(super) async fn tell(mut input: Input, told: Vec<u8>) {
    let done = async {
        input.write_all(&told).await?;
        failpoint!("docker.told");
        input.shutdown().await
    };
    if let Err(error) = done.await {
        tracing::debug!(%error, "a container did not hear all it was told"); // it will say so itself
    }
}

/// The answer, or `None` where the engine says that there is no such thing.
pub(super) async fn found<T>(
    step: &'static str,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<Option<T>, Error> {
    match call.await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(failed(step)(error)),
    }
}

async fn in_time<T>(
    step: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(LOOK, call).await.unwrap_or_else(|_| {
        let source = io::Error::new(io::ErrorKind::TimedOut, "the engine does not answer");
        Err(Error::System { step, source })
    })
}

pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the engine says is wrong, without the library's words around it.
pub(super) fn reason(error: &ApiError) -> String {
    match error {
        ApiError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        ApiError::DockerStreamError { error } => error.clone(),
        other => mosaic_common::in_full(other),
    }
}

pub(super) fn failed(step: &'static str) -> impl FnOnce(ApiError) -> Error {
    move |error| Error::System {
        step,
        source: io::Error::other(reason(&error)),
    }
}
