//! What the client's errors mean.

use std::fmt;

use eventlift_events::{StoreError, StoreErrorKind};
use eventstore::Error;

/// Names what happened, and what to try. `display` is the store, without a password.
pub(super) fn store_error(action: &'static str, display: &(dyn fmt::Display + Sync), error: Error) -> StoreError {
    let text = error.to_string();
    let failed = |kind| StoreError::new(action, display, kind);
    match error {
        Error::AccessDenied => failed(StoreErrorKind::Denied("the server does not let this user do that".to_owned()))
            .hint("a user and password in the URL (esdb://user@host:2113) or in password_env; and the rights of the stream ($acl)"),
        Error::NotLeaderException(leader) => {
            let problem = format!("the node is not the leader of the cluster, which is {}:{}", leader.host, leader.port);
            failed(unavailable(problem)).hint("name all nodes, or the cluster with +discover: esdb+discover://cluster:2113")
        }
        Error::UnsupportedFeature => failed(StoreErrorKind::Unsupported("the server is too old for that".to_owned()))
            .hint("KurrentDB, or EventStoreDB from version 21.10 on"),
        Error::ResourceDeleted => failed(StoreErrorKind::Unexpected("the stream was deleted for good".to_owned())),
        Error::GrpcConnectionError(_) => failed(unavailable(text))
            .hint("is the server up, and does this machine trust its certificate (tlsCaFile=… in the URL)?"),
        Error::ServerError(_)
        | Error::ConnectionClosed
        | Error::DeadlineExceeded
        | Error::IllegalStateError(_) => failed(unavailable(text)),
        Error::Grpc { code, .. } if is_passing(code as i32) => failed(unavailable(text)),
        other => failed(StoreErrorKind::Backend(Box::new(other))),
    }
}

/// An error that passes, as text.
pub(super) fn unavailable(problem: String) -> StoreErrorKind {
    StoreErrorKind::Unavailable(problem.into())
}

/// Codes of gRPC that say nothing about what was asked: cancelled, unknown, deadline exceeded, aborted, internal,
/// unavailable.
fn is_passing(code: i32) -> bool {
    [1, 2, 4, 10, 13, 14].contains(&code)
}
