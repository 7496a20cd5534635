//! One unary call, served and made with nothing around it but tonic.

use http::uri::PathAndQuery;
use prost::Message;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::client::Grpc as Asking;
use tonic::server::{Grpc as Serving, NamedService, UnaryService};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

/// The call of the first hop, and of the second.
pub(super) const CLIENT_CALL: &str = "/bench.Floor/Get";
pub(super) const COMMAND_CALL: &str = "/bench.Floor/Execute";

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

/// Answers every call with one function.
pub(super) struct Bare<Q, A>(Arc<dyn Fn(Q) -> Answer<A> + Send + Sync>);

impl<Q, A> Bare<Q, A> {
    pub(super) fn new<F>(answer: impl Fn(Q) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<A, Status>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }
}

impl<Q, A> Clone for Bare<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q, A> NamedService for Bare<Q, A> {
    const NAME: &'static str = "bench.Floor";
}

impl<Q, A> UnaryService<Q> for Bare<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    type Response = A;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

impl<Q, A> Service<http::Request<Body>> for Bare<Q, A>
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Serving::new(ProstCodec::<A, Q>::default());
            Ok(grpc.unary(service, request).await)
        })
    }
}

/// Serves until the process ends.
pub(super) async fn serve<Q, A>(
    mut server: Server,
    address: SocketAddr,
    service: Bare<Q, A>,
) -> anyhow::Result<()>
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
{
    Ok(server.add_service(service).serve(address).await?)
}

/// Makes one call.
pub(super) async fn call<Q, A>(
    channel: Channel,
    path: &'static str,
    request: Q,
) -> Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Asking::new(channel);
    // A lazy channel is always ready; a broken one says so in the call.
    drop(grpc.ready().await);
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(Request::new(request), path, codec).await?;
    Ok(answer.into_inner())
}
