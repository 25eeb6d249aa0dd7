//! Which call goes where, and whether its caller may.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message;
use tonic::body::Body;
use tonic::codec::ProstCodec;
use tonic::codegen::{Service, http};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::server::Grpc;
use tonic::{Request, Response, Status};

use super::append::{append, delete, tombstone};
use super::batch::batch_append;
use super::cluster::Members;
use super::connections::{ConnectionId, Connections};
use super::counters::Counters;
use super::database::Database;
use super::exceptions::{access_denied, not_leader};
use super::faults::Faults;
use super::messages::{ClusterInfo, Empty, SupportedMethod, SupportedMethods};
use super::read::read;
use super::server::User;

/// A message may hold the largest append that a server can be told to take.
const MOST_MESSAGE_BYTES: usize = 300 * 1024 * 1024;

/// One node: what its calls need.
pub(super) struct Node {
    pub(super) database: Arc<Database>,
    pub(super) faults: Arc<Faults>,
    pub(super) counters: Arc<Counters>,
    pub(super) connections: Arc<Connections>,
    pub(super) members: Arc<Members>,
    /// Which of the members it is.
    pub(super) index: usize,
    /// Nobody: everybody may do everything.
    pub(super) users: Vec<User>,
    pub(super) max_append_size: usize,
    pub(super) version: String,
}

/// Who calls, how, and over which connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    name: Option<String>,
    is_admin: bool,
    pub(super) connection: Option<ConnectionId>,
}

impl Node {
    /// Refuses wrong passwords, and leaders' work on other nodes.
    pub(super) fn admit<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let connection = ConnectionId::of(request.extensions());
        let caller = self.caller(request.metadata(), connection)?;
        let needs_leader = request.metadata().get("requires-leader").is_some_and(|value| value == "true");
        if needs_leader && !self.members.is_leader(self.index) {
            let (host, port) = self.members.leader();
            return Err(not_leader(&host, port));
        }
        Ok(caller)
    }

    fn caller(&self, headers: &MetadataMap, connection: Option<ConnectionId>) -> Result<Caller, Status> {
        if self.users.is_empty() {
            return Ok(Caller { name: None, is_admin: true, connection });
        }
        let sent = headers.get("authorization").and_then(|value| value.to_str().ok());
        let user = sent.and_then(|sent| self.users.iter().find(|user| is_password(user, sent)));
        let user = user.ok_or_else(|| Status::unauthenticated("Bad gRPC response. HTTP status code: 401"))?;
        Ok(Caller { name: Some(user.name.clone()), is_admin: user.is_admin, connection })
    }

    /// By the `$acl` of the stream; streams of the system and `$all` are for admins.
    pub(super) fn allow_read(&self, caller: &Caller, stream: &str) -> Result<(), Status> {
        let allowed = self.allowed(caller, stream, |database, stream| database.retention(stream).readers);
        if allowed { Ok(()) } else { Err(access_denied()) }
    }

    /// By the `$acl` of the stream; streams of the system are for admins.
    pub(super) fn allow_write(&self, caller: &Caller, stream: &str) -> Result<(), Status> {
        let allowed = self.allowed(caller, stream, |database, stream| database.retention(stream).writers);
        if allowed { Ok(()) } else { Err(access_denied()) }
    }

    fn allowed(&self, caller: &Caller, stream: &str, names: impl Fn(&Database, &str) -> Option<Vec<String>>) -> bool {
        if caller.is_admin {
            return true;
        }
        let original = stream.strip_prefix("$$").unwrap_or(stream);
        match names(&self.database, original) {
            Some(names) => names.iter().any(|name| name == "$all" || Some(name) == caller.name.as_ref()),
            None => !original.starts_with('$'),
        }
    }

    fn supported(&self) -> SupportedMethods {
        let method = |service: &str, method: &str, features: &[&str]| SupportedMethod {
            method_name: method.to_owned(),
            service_name: format!("event_store.client.{service}"),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        let methods = vec![
            method("streams.streams", "read", &["position", "events"]),
            method("streams.streams", "append", &[]),
            method("streams.streams", "delete", &[]),
            method("streams.streams", "tombstone", &[]),
            method("streams.streams", "batchappend", &["deadline_duration"]),
            method("gossip.gossip", "read", &[]),
            method("server_features.serverfeatures", "getsupportedmethods", &[]),
        ];
        SupportedMethods { methods, event_store_server_version: self.version.clone() }
    }
}

fn is_password(user: &User, sent: &str) -> bool {
    let expected = BinaryMetadataValue::from_bytes(format!("{}:{}", user.name, user.password).as_bytes());
    let sent = sent.strip_prefix("Basic ").map(|sent| sent.trim_end_matches('='));
    sent.map(str::as_bytes) == Some(expected.as_encoded_bytes())
}

/// All the calls of one node.
#[derive(Clone)]
pub(super) struct Calls(pub(super) Arc<Node>);

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let node = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer(node, request).await) })
    }
}

async fn answer(node: Arc<Node>, request: http::Request<Body>) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/event_store.client.streams.Streams/Read" => {
            grpc().server_streaming(Call(|request| read(Arc::clone(&node), request)), request).await
        }
        "/event_store.client.streams.Streams/Append" => {
            grpc().client_streaming(Call(|request| append(Arc::clone(&node), request)), request).await
        }
        "/event_store.client.streams.Streams/BatchAppend" => {
            grpc().streaming(Call(|request| batch_append(Arc::clone(&node), request)), request).await
        }
        "/event_store.client.streams.Streams/Delete" => {
            grpc().unary(Call(|request| delete(Arc::clone(&node), request)), request).await
        }
        "/event_store.client.streams.Streams/Tombstone" => {
            grpc().unary(Call(|request| tombstone(Arc::clone(&node), request)), request).await
        }
        "/event_store.client.server_features.ServerFeatures/GetSupportedMethods" => {
            grpc().unary(Call(|_: Request<Empty>| supported(Arc::clone(&node))), request).await
        }
        "/event_store.client.gossip.Gossip/Read" => {
            grpc().unary(Call(|_: Request<Empty>| gossip(Arc::clone(&node))), request).await
        }
        _ => Status::unimplemented("").into_http(),
    }
}

async fn supported(node: Arc<Node>) -> Result<Response<SupportedMethods>, Status> {
    Ok(Response::new(node.supported()))
}

async fn gossip(node: Arc<Node>) -> Result<Response<ClusterInfo>, Status> {
    Ok(Response::new(node.members.gossip()))
}

fn grpc<Encoded, Decoded>() -> Grpc<ProstCodec<Encoded, Decoded>>
where
    Encoded: Message + Send + 'static,
    Decoded: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MOST_MESSAGE_BYTES)
}

/// An async function as a service.
struct Call<F>(F);

impl<F, Fut, Asked, Answer> Service<Request<Asked>> for Call<F>
where
    F: FnMut(Request<Asked>) -> Fut,
    Fut: Future<Output = Result<Response<Answer>, Status>>,
{
    type Response = Response<Answer>;
    type Error = Status;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Asked>) -> Fut {
        (self.0)(request)
    }
}
