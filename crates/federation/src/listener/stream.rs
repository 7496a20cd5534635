//! One TLS connection of a pinned peer. It ends when the peer may no longer connect.

use crate::connection::Contact;
use crate::tls::TlsKey;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Who is at the other end; an extension of every request.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// The key it proved to hold.
    pub tls_key: TlsKey,
    /// Where it came from, for the log alone.
    pub address: SocketAddr,
}

/// A TLS connection of a pinned peer.
pub struct PeerStream {
    io: TlsStream<TcpStream>,
    info: PeerInfo,
    contact: Arc<Contact>,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Given back when the connection ends.
    _place: OwnedSemaphorePermit,
}

impl PeerStream {
    pub(super) fn new(
        io: TlsStream<TcpStream>,
        info: PeerInfo,
        contact: Arc<Contact>,
        cut: impl Future<Output = ()> + Send + 'static,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            io,
            info,
            contact,
            cut: Box::pin(cut),
            _place: place,
        }
    }

    /// The server always waits for the next bytes of a connection, so this is always polled.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl fmt::Debug for PeerStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PeerStream({:?})", self.info)
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        if into.filled().len() > before {
            self.contact.heard();
        }
        read
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
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
