//! The hub's way to a spoke that it can reach: it dials, over TLS with both keys pinned.

mod connector;

use crate::connection::{Connections, Live, SpokePeer};
use crate::identity::Identity;
use crate::link::{Frames, Link, LinkError};
use crate::tls::{self, TlsError, TlsKey};
use connector::{ConnectFailed, Connector};
use futures_util::{StreamExt, future, stream};
use http::Uri;
use mosaic_common::proto::federation::v1::command_service_client::CommandServiceClient;
use mosaic_common::proto::federation::v1::open_response::Item;
use mosaic_common::proto::federation::v1::{Envelope, ExecuteRequest, OpenRequest};
use mosaic_common::proto::{MAX_ANSWER, MAX_MESSAGE};
use mosaic_common::{Alias, Reason, Refusal};
use prost::Message;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

/// How often a connection is asked whether it is still there. With the time to answer it is half of
/// the 30 seconds in which hub and spoke shall agree again after a partition.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long the answer to that may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one stream, and one connection, may have on its way: enough for a patch to flow.
const WINDOW: u32 = 1024 * 1024;

/// A call that no spoke knows, and that costs it nothing to say so.
const TOUCH: &str = "/mosaic.federation.v1.CommandService/Touch";

/// Room of a receipt's envelope and message around the largest answer.
const ANSWER_MARGIN: usize = 64 * 1024;

/// Room of the request message around an envelope: a tag and a length.
const MESSAGE_MARGIN: usize = 16;

/// A link that dials. It connects when it is first used, and again after it broke.
#[derive(Debug)]
pub struct DialledLink {
    identity: Identity,
    connections: Arc<Connections<SpokePeer>>,
    connection: Alias,
    channel: Mutex<Option<Open>>,
}

/// A channel and what it was made for.
#[derive(Debug, Clone)]
struct Open {
    address: String,
    pin: TlsKey,
    channel: Channel,
}

impl DialledLink {
    /// The link of one connection of the table. Where to dial and what to pin is looked up there
    /// at every call, so a change holds at once; a connection that may not be used is not dialled.
    ///
    /// # Errors
    /// If the identity cannot be used for TLS.
    pub fn new(
        identity: &Identity,
        connections: Arc<Connections<SpokePeer>>,
        connection: Alias,
    ) -> Result<Self, TlsError> {
        if let Some(live) = connections.by_id(&connection) {
            tls::client(identity, live.peer().tls_key)?;
        }
        Ok(Self {
            identity: identity.clone(),
            connections,
            connection,
            channel: Mutex::default(),
        })
    }

    /// The connection as it is now, if it may be used.
    fn usable(&self) -> Result<Arc<Live<SpokePeer>>, LinkError> {
        let live = self.connections.by_id(&self.connection);
        let refused = |address: &str, state: &str| LinkError::Connect {
            address: address.to_owned(),
            detail: format!("the connection {} is {state}", self.connection),
        };
        let live = live.ok_or_else(|| refused("", "gone"))?;
        let peer = live.peer();
        if !peer.state.is_usable() {
            return Err(refused(&peer.address, peer.state.as_str()));
        }
        Ok(live)
    }

    fn client(&self, peer: &SpokePeer) -> Result<CommandServiceClient<Channel>, LinkError> {
        Ok(CommandServiceClient::new(self.channel(peer)?)
            .max_encoding_message_size(MAX_MESSAGE)
            .max_decoding_message_size(MAX_ANSWER + ANSWER_MARGIN))
    }

    /// The open channel to a peer, or a new one.
    fn channel(&self, peer: &SpokePeer) -> Result<Channel, LinkError> {
        let mut open = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |open: &&Open| open.address == peer.address && open.pin == peer.tls_key;
        if let Some(open) = open.as_ref().filter(fits) {
            return Ok(open.channel.clone());
        }
        let channel = self.dial(peer).map_err(|detail| LinkError::Connect {
            address: peer.address.clone(),
            detail,
        })?;
        *open = Some(Open {
            address: peer.address.clone(),
            pin: peer.tls_key,
            channel: channel.clone(),
        });
        Ok(channel)
    }

    fn dial(&self, peer: &SpokePeer) -> Result<Channel, String> {
        let config =
            tls::client(&self.identity, peer.tls_key).map_err(|error| error.to_string())?;
        let uri = Uri::builder()
            .scheme("http") // the library has no TLS of its own to do: the connector's is ours
            .authority(peer.address.as_str())
            .path_and_query("/")
            .build()
            .map_err(|error| error.to_string())?;
        let endpoint = Endpoint::from(uri)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let connector = Connector::new(config, peer.address.clone());
        Ok(endpoint.connect_with_connector_lazy(connector))
    }
}

#[async_trait::async_trait]
impl Link for DialledLink {
    async fn execute(&self, command: Envelope) -> Result<Envelope, LinkError> {
        check_size(&command)?;
        let live = self.usable()?;
        let mut client = self.client(live.peer())?;
        let request = ExecuteRequest {
            envelope: Some(command),
        };
        let answer = client.execute(request).await;
        let answer = answer.map_err(|status| link_error(&live.peer().address, &status))?;
        let receipt = answer.into_inner().receipt;
        receipt.ok_or_else(|| LinkError::Broken("the answer holds no receipt".into()))
    }

    async fn touch(&self) -> Result<(), LinkError> {
        let live = self.usable()?;
        let channel = self.channel(live.peer())?;
        let request = http::Request::post(TOUCH).body(Body::empty());
        let request = request.map_err(|error| LinkError::Broken(error.to_string()))?;
        // Whatever is answered, somebody who holds the spoke's key has answered.
        let answer = channel.oneshot(request).await;
        let failed = |error| link_error(&live.peer().address, &Status::from_error(Box::new(error)));
        answer.map(drop).map_err(failed)
    }

    async fn open(&self, command: Envelope) -> Result<(Envelope, Frames), LinkError> {
        check_size(&command)?;
        let live = self.usable()?;
        let mut client = self.client(live.peer())?;
        let address = live.peer().address.clone();
        let request = OpenRequest {
            envelope: Some(command),
        };
        let answer = client.open(request).await;
        let mut items = answer
            .map_err(|status| link_error(&address, &status))?
            .into_inner();
        let first = items.message().await;
        let first = first.map_err(|status| link_error(&address, &status))?;
        let Some(Item::Receipt(receipt)) = first.and_then(|response| response.item) else {
            let problem = "the stream does not begin with a receipt";
            return Err(LinkError::Broken(problem.into()));
        };
        let frames = items.map(move |item| match item {
            Ok(response) => match response.item {
                Some(Item::Frame(frame)) => Ok(frame),
                Some(Item::Receipt(_)) | None => {
                    Err(LinkError::Broken("the stream holds no frame".into()))
                }
            },
            Err(status) => Err(link_error(&address, &status)),
        });
        Ok((receipt, cut(frames.boxed(), live.while_active().clone())))
    }
}

/// Commands of more than this are refused by every spoke; nothing is sent then.
fn check_size(command: &Envelope) -> Result<(), LinkError> {
    let size = command.encoded_len() + MESSAGE_MARGIN;
    if size <= MAX_MESSAGE {
        return Ok(());
    }
    let problem = format!("the command takes {size} bytes, more than {MAX_MESSAGE}");
    let refusal = Refusal::new(Reason::RequestTooLarge, problem);
    Err(LinkError::Rejected(refusal))
}

/// The frames, until the first error, or until the connection is no longer active on this side.
fn cut(frames: Frames, active: CancellationToken) -> Frames {
    let ended = active.clone();
    let last = async move {
        let problem = "the connection is no longer active";
        ended
            .is_cancelled()
            .then(|| Err(LinkError::Broken(problem.into())))
    };
    frames
        .take_until(active.cancelled_owned())
        .chain(stream::once(last).filter_map(future::ready))
        .scan(false, |is_over, item| {
            let item = (!*is_over).then_some(item);
            *is_over = item.as_ref().is_none_or(Result::is_err);
            future::ready(item)
        })
        .boxed()
}

/// Tells what a status means for the caller: was it our connector, the spoke, or the way?
fn link_error(address: &str, status: &Status) -> LinkError {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(failed) = error.downcast_ref::<ConnectFailed>() {
            return LinkError::Connect {
                address: address.to_owned(),
                detail: failed.to_string(),
            };
        }
        cause = error.source();
    }
    match Refusal::from_status(status) {
        Some(refusal) => LinkError::Rejected(refusal),
        None => LinkError::Broken(format!("{}: {}", status.code(), status.message())),
    }
}
