//! The gate as a layer of tower, in front of a service that answers HTTP requests.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::migration_gate::{Fenced, MigrationGate, WriteTo};

/// The header of a request that says where to write: `source` or `target`. Whatever a client sends is taken away.
pub const WRITE_TO: HeaderName = HeaderName::from_static("eventlift-write-to");

/// Puts a [`MigrationGate`] in front of a service.
///
/// GET, HEAD, OPTIONS and TRACE pass. Other requests get where to write as an extension ([`WriteTo`]) and as the header
/// [`WRITE_TO`]; while nothing is to be written they are answered with 503, `Retry-After` in whole seconds, an empty body
/// and, as an extension, [`Fenced`].
#[derive(Clone, Debug)]
pub struct GateLayer {
    gate: MigrationGate,
}

impl GateLayer {
    /// A layer that asks this gate.
    pub fn new(gate: MigrationGate) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { gate: self.gate.clone(), inner }
    }
}

/// A service behind a gate.
#[derive(Clone, Debug)]
pub struct GateService<S> {
    gate: MigrationGate,
    inner: S,
}

impl<S, Sent, Answered> Service<Request<Sent>> for GateService<S>
where
    S: Service<Request<Sent>, Response = Response<Answered>> + Clone + Send + 'static,
    S::Future: Send,
    Sent: Send + 'static,
    Answered: Default,
{
    type Response = Response<Answered>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answered>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        // The one that is ready is called, not its clone.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        request.headers_mut().remove(WRITE_TO);
        request.extensions_mut().remove::<WriteTo>();
        if is_safe(request.method()) {
            return Box::pin(ready.call(request));
        }
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.check().await {
                Ok(write_to) => {
                    request.extensions_mut().insert(write_to);
                    request.headers_mut().insert(WRITE_TO, HeaderValue::from_static(write_to.as_str()));
                    ready.call(request).await
                }
                Err(fenced) => Ok(refusal(fenced)),
            }
        })
    }
}

/// Whether a method changes nothing.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}

fn refusal<Answered: Default>(fenced: Fenced) -> Response<Answered> {
    let mut response = Response::new(Answered::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    // Whole seconds, and never so few that it is too early.
    let seconds = fenced.retry_after.as_millis().div_ceil(1000).max(1) as u64;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response.extensions_mut().insert(fenced);
    response
}
