//! How the server says no: codes, texts and trailers.

use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::{Code, Status};

use super::database::{Expected, Refused};

pub(super) fn stream_deleted(stream: &str) -> Status {
    let text = format!("Event stream '{stream}' is deleted.");
    exception(Code::FailedPrecondition, text, "stream-deleted", &[("stream-name", stream)])
}

pub(super) fn access_denied() -> Status {
    exception(Code::PermissionDenied, "Access Denied".to_owned(), "access-denied", &[])
}

pub(super) fn not_leader(host: &str, port: u16) -> Status {
    let trailers = [("leader-endpoint-host", host), ("leader-endpoint-port", &port.to_string())];
    exception(Code::NotFound, "Leader info available".to_owned(), "not-leader", &trailers)
}

pub(super) fn append_too_large(most: usize) -> Status {
    let text = format!("Maximum Append Size of {most} Exceeded.");
    let most = most.to_string();
    exception(Code::InvalidArgument, text, "maximum-append-size-exceeded", &[("maximum-append-size", &most)])
}

pub(super) fn event_too_large(id: &str, size: usize, most: usize) -> Status {
    let text = format!("Event with Id: {id}, Size: {size}, exceeds Maximum Append Event Size of {most}.");
    let trailers = [
        ("maximum-append-event-size", most.to_string()),
        ("event-id", id.to_owned()),
        ("proposed-append-event-size", size.to_string()),
    ];
    let trailers: Vec<(&str, &str)> = trailers.iter().map(|(key, value)| (*key, value.as_str())).collect();
    exception(Code::InvalidArgument, text, "maximum-append-event-size-exceeded", &trailers)
}

pub(super) fn missing_metadata(key: &str) -> Status {
    let text = format!("Required Metadata Property '{key}' is missing");
    let trailers = [("required-metadata-properties", "type,content-type")];
    exception(Code::InvalidArgument, text, "missing-required-metadata-property", &trailers)
}

pub(super) fn deletion_refused(stream: &str, expected: Expected, refused: Refused) -> Status {
    let Refused::WrongVersion { current } = refused else { return stream_deleted(stream) };
    let expected = expected.number();
    let text = format!(
        "Delete failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, Actual version: {current}"
    );
    let trailers = [
        ("stream-name", stream),
        ("expected-version", &expected.to_string()),
        ("actual-version", &current.to_string()),
    ];
    exception(Code::FailedPrecondition, text, "wrong-expected-version", &trailers)
}

pub(super) fn invalid_position() -> Status {
    Status::invalid_argument("Trying to read from an invalid position.")
}

pub(super) fn timed_out() -> Status {
    Status::aborted("Operation timed out: Operation timed out")
}

fn exception(code: Code, text: String, name: &str, trailers: &[(&'static str, &str)]) -> Status {
    let mut metadata = MetadataMap::new();
    for (key, value) in trailers.iter().chain(&[("exception", name)]) {
        // A name that no header can hold is left out.
        if let Ok(value) = value.parse() {
            metadata.insert(AsciiMetadataKey::from_static(key), value);
        }
    }
    Status::with_metadata(code, text, metadata)
}
