//! The spoke's own accept loop: a place before each accept, TLS within a bound, only pinned peers.
//!
//! Owns sockets until they are handed to the server, and cuts them when their connection is
//! no longer usable. It reads no request.

mod stream;

pub use stream::{PeerInfo, PeerStream};

use crate::connection::{Connections, HubPeer};
use crate::identity::Identity;
use crate::tls::{self, TlsError, TlsKey};
use mosaic_common::process::open_files_max;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Connections at a time, counting those that are still shaking hands.
///
/// A hub needs a handful. Where a process may have few files open, it is a third of them: what is
/// silent here must never keep the spoke from the files that a kill needs.
const CONNECTIONS_MAX: usize = 512;

/// How long a TLS handshake may take. A client that says nothing holds a place this long.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long to wait when the system has no more files to give: without a wait the loop would
/// spin, because the socket stays ready.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Why a listener cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The identity cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A bound socket that only pinned peers get through.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    door: Door,
}

/// What each new socket needs.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    connections: Arc<Connections<HubPeer>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If it cannot be bound, or the identity cannot be used.
    pub async fn bind(
        address: SocketAddr,
        identity: &Identity,
        connections: Arc<Connections<HubPeer>>,
    ) -> Result<Self, ListenError> {
        let config = tls::server(identity, connections.clone())?;
        let failed = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            address: socket.local_addr().map_err(failed)?,
            socket,
            door: Door {
                acceptor: config.into(),
                connections,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop`, in a task of its own; gives what came through. `cut` ends
    /// what is still open then.
    pub(crate) fn incoming(
        self,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> ReceiverStream<io::Result<PeerStream>> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.accept_all(sender, cut) => {}
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn accept_all(
        self,
        sender: mpsc::Sender<io::Result<PeerStream>>,
        cut: CancellationToken,
    ) {
        let most = CONNECTIONS_MAX.min(open_files_max() / 3);
        let places = Arc::new(Semaphore::new(most));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return; // never closed
            };
            let (socket, from) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let (door, sender, cut) = (self.door.clone(), sender.clone(), cut.clone());
            tokio::spawn(async move {
                if let Some(stream) = door.let_in(socket, from, place, cut).await {
                    drop(sender.send(Ok(stream)).await); // an error says the server has stopped
                }
            });
        }
    }
}

impl Door {
    async fn let_in(
        &self,
        socket: TcpStream,
        from: SocketAddr,
        place: OwnedSemaphorePermit,
        cut: CancellationToken,
    ) -> Option<PeerStream> {
        // Without it each answer waits some 40 ms for an acknowledgement.
        socket.set_nodelay(true).ok()?;
        let handshake = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(socket));
        let io = match handshake.await {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => {
                info!(peer.address = %from, %error, "a TLS handshake failed");
                return None;
            }
            Err(_) => {
                debug!(peer.address = %from, "a TLS handshake took too long");
                return None;
            }
        };
        let certificate = io.get_ref().1.peer_certificates()?.first()?;
        let tls_key = TlsKey::of(certificate)?;
        // Asked again: the table may have changed since the verifier looked.
        let live = self.connections.by_tls_key(&tls_key)?;
        let info = PeerInfo {
            tls_key,
            address: from,
        };
        let usable = live.while_usable().clone();
        let end = async move {
            tokio::select! {
                () = usable.cancelled() => {}
                () = cut.cancelled() => {}
            }
        };
        let contact = live.contact().clone();
        Some(PeerStream::new(io, info, contact, end, place))
    }
}
