//! The local operator's door: a Unix socket that only the spoke's own user, or root, may use.
//!
//! A place before each accept, so that connections alone never take the files that a kill needs; and
//! who says nothing gives the place back soon.

mod stream;

pub use stream::LocalStream;

use mosaic_common::process::open_files_max;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Connections at a time: one operator and their scripts. Where a process may have few files open, it
/// is a quarter of them.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may take for its first byte. A client speaks at once.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// How long to wait when the system has no more files to give: without a wait the loop would
/// spin, because the socket stays ready.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A bound socket. Its file goes with it.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    file: SocketFile,
}

/// The socket's file, removed when dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl LocalListener {
    /// Binds the socket, 0600. A file left by an earlier life is replaced; one that a living
    /// process listens on, or that is no socket, is not.
    ///
    /// # Errors
    /// Why it cannot be bound.
    pub async fn bind(path: &Path) -> io::Result<Self> {
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens there",
                ));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            file: SocketFile(path.to_owned()),
        })
    }

    /// The connections of those who may come in, accepted in a task of its own until nobody takes
    /// them any more; and the file to keep as long as they may.
    pub fn incoming(self) -> (ReceiverStream<io::Result<LocalStream>>, SocketFile) {
        let (sender, receiver) = mpsc::channel(1);
        let listener = self.listener;
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = accept_all(&listener, &sender) => {}
            }
        });
        (ReceiverStream::new(receiver), self.file)
    }
}

async fn accept_all(listener: &UnixListener, sender: &mpsc::Sender<io::Result<LocalStream>>) {
    let most = CONNECTIONS_MAX.min(open_files_max() / 4);
    let places = Arc::new(Semaphore::new(most));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return; // never closed
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Some(stream) = let_in(stream, place).await {
                        drop(sender.send(Ok(stream)).await); // an error says the server has stopped
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a local connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn let_in(stream: UnixStream, place: OwnedSemaphorePermit) -> Option<LocalStream> {
    let own = rustix::process::geteuid().as_raw();
    // The file's mode keeps others out already; a moved or remounted file would not.
    let peer = stream.peer_cred().ok()?.uid();
    if peer != own && peer != 0 {
        tracing::warn!(
            peer.uid = peer,
            "turned a stranger away from the local socket"
        );
        return None;
    }
    let first = tokio::time::timeout(FIRST_BYTE, first_byte(&stream)).await;
    let speaks = first.ok()?.ok()? > 0;
    speaks.then(|| LocalStream::new(stream, place))
}

/// Waits for the first byte, and leaves it there; 0 if there will be none. That a socket is said to be
/// readable is not enough: it may be said too often.
async fn first_byte(stream: &UnixStream) -> io::Result<usize> {
    let look = || {
        let (_, size) = recv(stream, &mut [0_u8; 1], RecvFlags::PEEK)?;
        Ok(size)
    };
    stream.async_io(Interest::READABLE, look).await
}
