//! The local operator's door: a Unix socket that only the spoke's own user, or root, may use.

use futures_util::stream::{Stream, StreamExt};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;

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

    /// The connections of those who may come in, and the file to keep as long as they may.
    pub fn incoming(self) -> (impl Stream<Item = io::Result<UnixStream>>, SocketFile) {
        let own = rustix::process::geteuid().as_raw();
        let allowed = move |stream: io::Result<UnixStream>| async move {
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => return Some(Err(error)),
            };
            // The file's mode keeps others out already; a moved or remounted file would not.
            let peer = stream.peer_cred().map(|peer| peer.uid());
            match peer {
                Ok(uid) if uid == own || uid == 0 => Some(Ok(stream)),
                Ok(uid) => {
                    tracing::warn!(
                        peer.uid = uid,
                        "turned a stranger away from the local socket"
                    );
                    None
                }
                Err(_) => None,
            }
        };
        (
            UnixListenerStream::new(self.listener).filter_map(allowed),
            self.file,
        )
    }
}
