//! A door before a container engine that can be made to fail: everything else goes through to the
//! real engine, byte for byte.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Where the real engine is.
const ENGINE: &str = "/var/run/docker.sock";

/// A Unix socket that leads to the engine. It is gone with the value.
#[derive(Debug)]
pub struct EngineDoor {
    socket: PathBuf,
    closed: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl EngineDoor {
    /// Opens a door. Each request is a connection of its own, as the spoke makes them.
    ///
    /// # Panics
    /// If no socket can be made.
    #[must_use]
    pub fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let closed = Arc::<Mutex<Option<String>>>::default();
        let for_requests = closed.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let closed = for_requests.lock().unwrap().clone();
                tokio::spawn(pass(client, closed));
            }
        });
        Self {
            socket,
            closed,
            task,
            _folder: folder,
        }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes requests fail that begin so, such as `DELETE /containers/`, until [`mend`](Self::mend).
    ///
    /// # Panics
    /// Never, but for a panic elsewhere.
    pub fn fail(&self, request: &str) {
        *self.closed.lock().unwrap() = Some(request.to_owned());
    }

    /// Lets everything through again.
    ///
    /// # Panics
    /// Never, but for a panic elsewhere.
    pub fn mend(&self) {
        *self.closed.lock().unwrap() = None;
    }
}

impl Drop for EngineDoor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: UnixStream, closed: Option<String>) {
    let mut head = vec![0; 4096];
    let Ok(length) = client.read(&mut head).await else {
        return;
    };
    let head = &head[..length];
    if closed.is_some_and(|closed| head.starts_with(closed.as_bytes())) {
        let body = r#"{"message":"the engine fails, as it was told to"}"#;
        let answer = format!(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        drop(client.write_all(answer.as_bytes()).await); // the client may be gone
        return;
    }
    let Ok(mut engine) = UnixStream::connect(ENGINE).await else {
        return; // the client sees the end, as it would at a dead engine
    };
    if engine.write_all(head).await.is_ok() {
        drop(copy_bidirectional(&mut client, &mut engine).await);
    }
}
