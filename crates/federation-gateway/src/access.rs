//! The hub's front: who calls, whether they may, and answers that always say why.
//!
//! A tower layer around every service. It reads headers and never a body; what a token is, is the
//! business of [`Tokens`].

use crate::tokens::{Role, Token, Tokens};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use mosaic_common::{Reason, Refusal};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

/// What anybody may call: a load balancer has no token, and learns nothing but that we serve.
const OPEN: &str = "/grpc.health.v1.Health/";

/// What a viewer may call. Whatever is not here needs an admin, so that a call added later does.
const VIEWER: [&str; 9] = [
    "/mosaic.agent.v1.AgentService/Get",
    "/mosaic.agent.v1.AgentService/List",
    "/mosaic.agent.v1.AgentService/Logs",
    "/mosaic.agent.v1.AgentService/Result",
    "/mosaic.agent.v1.AgentService/Watch",
    "/mosaic.federation.v1.OperatorService/ListCommands",
    "/mosaic.federation.v1.OperatorService/ListConnections",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The role that a call needs; `None`: not even a token.
fn needed(path: &str) -> Option<Role> {
    if path.starts_with(OPEN) {
        None
    } else if VIEWER.contains(&path) {
        Some(Role::Viewer)
    } else {
        Some(Role::Admin)
    }
}

/// Lets only those in who may call. The caller's [`Token`] becomes an extension of the request.
#[derive(Debug, Clone)]
pub struct Access {
    tokens: Tokens,
}

impl Access {
    /// By these tokens.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }
}

impl<S> Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            tokens: self.tokens.clone(),
        }
    }
}

/// A service that only callers with a token reach.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    tokens: Tokens,
}

impl<S, B, A> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was made ready goes with the request; its copy waits for the next.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let tokens = self.tokens.clone();
        Box::pin(async move {
            if let Some(role) = needed(request.uri().path()) {
                let header = request.headers().get(AUTHORIZATION);
                let header = header.and_then(|value| value.to_str().ok());
                let token = tokens.authenticate(header, role).await;
                let token: Token = token.map_err(|refusal| turned_away(&refusal))?;
                request.extensions_mut().insert(token);
            }
            explained(inner.call(request).await.map_err(Into::into)?)
        })
    }
}

fn turned_away(refusal: &Refusal) -> BoxError {
    tracing::info!(reason = %refusal.reason, "a caller was turned away");
    Status::from(refusal.clone()).into()
}

/// Gives a reason to what the gRPC library refuses by itself, before our services are asked.
/// Everything of ours has one already.
fn explained<A>(response: Response<A>) -> Result<Response<A>, BoxError> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return Ok(response);
    };
    if !status.details().is_empty() {
        return Ok(response);
    }
    let (reason, problem) = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => (
            Reason::RequestTooLarge,
            "the request is larger than is accepted",
        ),
        Code::Internal | Code::InvalidArgument => (
            Reason::InvalidRequest,
            "the request is not the message that this call takes",
        ),
        Code::Cancelled | Code::DeadlineExceeded => (
            Reason::TimedOut,
            "the request took longer than its deadline",
        ),
        _ => return Ok(response), // gRPC's own codes, such as UNIMPLEMENTED, say it all
    };
    Err(Status::from(Refusal::new(reason, problem)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::proto::DESCRIPTORS;
    use prost::Message;

    #[test]
    fn every_call_that_changes_something_needs_an_admin() {
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut paths = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, name) = (file.package(), service.name());
                    paths.push(format!("/{package}.{name}/{}", method.name()));
                }
            }
        }
        let admin: Vec<&str> = paths
            .iter()
            .filter(|path| needed(path) == Some(Role::Admin))
            .map(|path| path.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(
            admin,
            ["Spawn", "Kill", "KillAll", "Release", "Execute", "Open"]
        );
        for path in VIEWER.iter().filter(|path| path.starts_with("/mosaic")) {
            assert!(paths.iter().any(|known| known == path), "{path}");
        }
    }

    #[test]
    fn what_is_not_known_needs_an_admin_and_health_needs_nobody() {
        assert_eq!(needed("/grpc.health.v1.Health/Check"), None);
        for path in ["/", "", "/x/Get", "/mosaic.agent.v1.AgentService/get"] {
            assert_eq!(needed(path), Some(Role::Admin), "{path}");
        }
    }
}
