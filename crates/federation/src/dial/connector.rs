//! Makes one TLS connection to a spoke, and says for certain when it did not come about.

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

/// How long it may take until the spoke has accepted us.
const CONNECT: Duration = Duration::from_secs(10);

/// No connection came about: the spoke has seen no request.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(super) struct ConnectFailed {
    step: &'static str,
    #[source]
    source: io::Error,
}

/// Dials one address.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    address: String,
}

type Io = TokioIo<BufReader<TlsStream<TcpStream>>>;

impl Connector {
    pub(super) fn new(config: Arc<ClientConfig>, address: String) -> Self {
        Self { config, address }
    }

    async fn connect(self) -> Result<Io, ConnectFailed> {
        let step = |step| move |source| ConnectFailed { step, source };
        let socket = TcpStream::connect(&self.address)
            .await
            .map_err(step("cannot reach it"))?;
        // Without it each command waits some 40 ms for an acknowledgement.
        socket
            .set_nodelay(true)
            .map_err(step("cannot set the socket"))?;
        // Keys are pinned, so no name is checked; for a number none is sent either.
        let nobody = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
        let tls = TlsConnector::from(self.config)
            .connect(nobody, socket)
            .await
            .map_err(step("the TLS handshake failed"))?;
        // In TLS 1.3 the client is done before the server has judged its certificate. The spoke
        // speaks first in HTTP/2, so its first byte is its word that we are in.
        let mut io = BufReader::new(tls);
        let refused = "the spoke does not accept this hub's key; is the connection active there?";
        match io.fill_buf().await {
            Ok([]) => Err(step(refused)(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(TokioIo::new(io)),
            Err(error) => Err(step(refused)(error)),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Io;
    type Error = ConnectFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Io, ConnectFailed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connect = self.clone().connect();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connect).await {
                Ok(connected) => connected,
                Err(late) => Err(ConnectFailed {
                    step: "it took too long",
                    source: late.into(),
                }),
            }
        })
    }
}
