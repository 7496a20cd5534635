//! A tower layer for a server's front: so many requests at a time, each only so long.
//!
//! Two lanes: what a kill or a status holds is never taken by anything else. Nothing waits for a
//! place: there is one, or the request is refused.

use mosaic_common::{Reason, Refusal};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{future::Future, pin::Pin};
use tokio::sync::Semaphore;
use tonic::Status;
use tower::{BoxError, Layer, Service};

/// When to try again for a place.
const RETRY: Duration = Duration::from_millis(500);

/// The calls with a lane of their own: they look and they stop.
const CONTROL: [&str; 4] = ["/Kill", "/KillAll", "/Release", "/Get"];

/// Limits requests at a time and the time until each is answered.
#[derive(Debug, Clone)]
pub struct Overload {
    control: Arc<Semaphore>,
    others: Arc<Semaphore>,
    longest: Duration,
}

impl Overload {
    /// Room for `requests` at a time in each lane. A request whose answer has not begun after
    /// `longest` is given up; open streams are not counted.
    #[must_use]
    pub fn new(requests: usize, longest: Duration) -> Self {
        let lane = || Arc::new(Semaphore::new(requests));
        Self {
            control: lane(),
            others: lane(),
            longest,
        }
    }
}

impl<S> Layer<S> for Overload {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            limits: self.clone(),
        }
    }
}

/// A service behind the limits.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    limits: Overload,
}

impl<S, B> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let is_control = CONTROL
            .iter()
            .any(|call| request.uri().path().ends_with(call));
        let lane = if is_control {
            &self.limits.control
        } else {
            &self.limits.others
        };
        let Ok(place) = lane.clone().try_acquire_owned() else {
            let refusal = Refusal::new(Reason::Overloaded, "more requests at once than are served");
            return Box::pin(async { Err(Status::from(refusal.retry_after(RETRY)).into()) });
        };
        let (answer, longest) = (self.inner.call(request), self.limits.longest);
        Box::pin(async move {
            let _place = place;
            match tokio::time::timeout(longest, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => {
                    let refusal =
                        Refusal::new(Reason::TimedOut, "the request took longer than is allowed");
                    Err(Status::from(refusal).into())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use std::convert::Infallible;

    fn guarded(
        requests: usize,
    ) -> Guarded<
        impl Service<Request<()>, Response = Response<()>, Error = Infallible, Future: Send + 'static>,
    > {
        let never = tower::service_fn(|_: Request<()>| async {
            std::future::pending::<()>().await;
            Ok(Response::new(()))
        });
        Overload::new(requests, Duration::from_secs(5)).layer(never)
    }

    fn reason(error: &BoxError) -> Reason {
        Refusal::from_status(error.downcast_ref::<Status>().unwrap())
            .unwrap()
            .reason
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_finds_a_place_when_spawns_have_taken_theirs() {
        let mut service = guarded(1);
        let call = |path: &str| {
            Request::builder()
                .uri(format!("http://h/mosaic.agent.v1.AgentService{path}"))
                .body(())
                .unwrap()
        };
        let first = tokio::spawn(service.call(call("/Spawn")));
        tokio::task::yield_now().await;
        assert_eq!(
            reason(&service.call(call("/Spawn")).await.unwrap_err()),
            Reason::Overloaded
        );
        assert_eq!(
            reason(&service.call(call("/Kill")).await.unwrap_err()),
            Reason::TimedOut,
            "it got its place"
        );
        assert_eq!(reason(&first.await.unwrap().unwrap_err()), Reason::TimedOut);
    }
}
