//! The connection to a hub or a spoke. The only file that knows how one is made.

use crate::{
    failure::Failure,
    target::{Endpoint, Target},
};
use mosaic_common::proto::{
    MAX_ANSWER, agent::v1::agent_service_client::AgentServiceClient,
    federation::v1::operator_service_client::OperatorServiceClient,
};
use std::time::Duration;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Dial},
};

/// How long a server may take to accept a connection.
///
/// Reaches around the world with retransmissions; a person waiting at a prompt still hears soon.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How often a silent connection is asked whether it lives, and how long it may take to answer.
///
/// A stream can be silent for hours; a broken one is found within half a minute and resumed.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How long a call may take that does not wait for anything.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a kill may take: a server proves death first, and says itself when it cannot.
/// This is only for a server that says nothing at all.
const KILL_WITHIN: Duration = Duration::from_secs(180);

/// The channel with the token on every call.
type Authorized = InterceptedService<Channel, Bearer>;

/// Clients of both services on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Agents.
    pub agents: AgentServiceClient<Authorized>,
    /// Connections and commands.
    pub operator: OperatorServiceClient<Authorized>,
}

/// Puts the token on a request.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Client {
    /// Prepares a connection; it is made with the first call, and again whenever it breaks.
    ///
    /// # Errors
    /// If the certificate authority cannot be used.
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        let channel = dial(target)?
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_lazy();
        let bearer = Bearer(target.token.as_ref().map(|token| token.header()));
        let agents = AgentServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let operator = OperatorServiceClient::with_interceptor(channel, bearer);
        Ok(Self {
            agents: agents.max_decoding_message_size(MAX_ANSWER),
            operator: operator.max_decoding_message_size(MAX_ANSWER),
        })
    }
}

fn dial(target: &Target) -> Result<Dial, Failure> {
    match &target.endpoint {
        Endpoint::Http(uri) => Ok(Dial::from(uri.clone())),
        Endpoint::Https(uri) => {
            let Some(path) = &target.ca else {
                return Err(Failure::input_with_hint(
                    format!("{} needs a certificate authority", target.endpoint),
                    "name its PEM file with --ca or MOSAIC_CA",
                ));
            };
            let fail = |why: &dyn std::fmt::Display| {
                Failure::input(format!("cannot use {}: {why}", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| fail(&error))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            Dial::from(uri.clone())
                .tls_config(tls)
                .map_err(|error| fail(&error))
        }
        Endpoint::Unix(path) => Dial::from_shared(format!("unix:{}", path.display()))
            .map_err(|_| Failure::input(format!("{} is no path of a socket", path.display()))),
    }
}

/// A request that is answered at once.
pub(crate) fn quick<T>(message: T) -> Request<T> {
    within(message, ANSWER_WITHIN)
}

/// A request that is answered when agents have been seen dead, each given `grace` first.
pub(crate) fn patient<T>(message: T, grace: Duration) -> Request<T> {
    within(message, KILL_WITHIN.saturating_add(grace))
}

fn within<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}
