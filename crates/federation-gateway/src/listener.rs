//! The hub's own accept loop: a place before each accept, a bound on silence, and an end for all.
//!
//! Owns sockets until they are handed to the server. TLS is the server's; requests are not read.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::warn;

/// How long a client may say nothing after it has connected. One that never speaks would
/// otherwise hold its place for ever.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// How long to wait when the system has no more files to give: without a wait the loop would
/// spin, because the socket stays ready.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A bound socket for clients.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    places: Arc<Semaphore>,
}

impl Listener {
    /// Binds `address`, port 0 taking a free one, for at most `clients` connections at a time.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub async fn bind(address: SocketAddr, clients: usize) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            places: Arc::new(Semaphore::new(clients)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop`, in a task of its own. `cut` ends what is still open then.
    pub fn incoming(
        self,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> ReceiverStream<io::Result<ClientStream>> {
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
        sender: mpsc::Sender<io::Result<ClientStream>>,
        cut: CancellationToken,
    ) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return; // never closed
            };
            let accepted = self.socket.accept().await.and_then(|(socket, _)| {
                // Without it a small answer waits some 40 ms for an acknowledgement.
                socket.set_nodelay(true).map(|()| socket)
            });
            match accepted {
                Ok(socket) => {
                    let stream = ClientStream::new(socket, cut.clone(), place);
                    if sender.send(Ok(stream)).await.is_err() {
                        return; // the server has stopped
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// One connection of a client.
pub struct ClientStream {
    io: TcpStream,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    silence: Option<Pin<Box<Sleep>>>,
    /// Given back when the connection ends.
    _place: OwnedSemaphorePermit,
}

impl ClientStream {
    fn new(io: TcpStream, cut: CancellationToken, place: OwnedSemaphorePermit) -> Self {
        Self {
            io,
            cut: Box::pin(cut.cancelled_owned()),
            silence: Some(Box::pin(tokio::time::sleep(FIRST_BYTE))),
            _place: place,
        }
    }

    /// The server always waits for the next bytes of a connection, so this is always polled.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let silence = self.silence.as_mut();
        if silence.is_some_and(|silence| silence.as_mut().poll(cx).is_ready()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClientStream({:?})", self.io)
    }
}

impl Connected for ClientStream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_end(cx)?;
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        if read.is_ready() {
            self.silence = None;
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    async fn listening(
        clients: usize,
        cut: CancellationToken,
    ) -> (SocketAddr, ReceiverStream<io::Result<ClientStream>>) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), clients)
            .await
            .unwrap();
        let address = listener.address();
        (address, listener.incoming(CancellationToken::new(), cut))
    }

    #[tokio::test]
    async fn a_client_beyond_the_limit_waits_until_another_has_gone() {
        let (address, mut incoming) = listening(1, CancellationToken::new()).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let taken = incoming.next().await.unwrap().unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(100), incoming.next()).await;
        assert!(waited.is_err());
        drop(taken);
        incoming.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_silent_client_is_let_go_and_a_speaking_one_is_not() {
        let (address, mut incoming) = listening(2, CancellationToken::new()).await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut silent = incoming.next().await.unwrap().unwrap();
        let mut speaking = TcpStream::connect(address).await.unwrap();
        let mut heard = incoming.next().await.unwrap().unwrap();
        speaking.write_all(b"x").await.unwrap();
        assert_eq!(heard.read_u8().await.unwrap(), b'x');
        tokio::time::pause();
        let error = silent.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(heard.silence.is_none());
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_open() {
        let cut = CancellationToken::new();
        let (address, mut incoming) = listening(1, cut.clone()).await;
        let _client = TcpStream::connect(address).await.unwrap();
        let mut open = incoming.next().await.unwrap().unwrap();
        cut.cancel();
        let error = open.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
