//! The messages of the protocol, version 1, as far as the server speaks it: field numbers as documented.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Message, Oneof};
use prost_types::{Any, Duration, Timestamp};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamIdentifier {
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) stream_name: Bytes,
}

impl StreamIdentifier {
    pub(super) fn of(name: &str) -> Self {
        Self { stream_name: Bytes::copy_from_slice(name.as_bytes()) }
    }

    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.stream_name).into_owned()
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Uuid {
    #[prost(oneof = "UuidValue", tags = "1, 2")]
    pub(super) value: Option<UuidValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum UuidValue {
    #[prost(message, tag = "1")]
    Structured(StructuredUuid),
    #[prost(string, tag = "2")]
    String(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructuredUuid {
    #[prost(int64, tag = "1")]
    pub(super) most_significant_bits: i64,
    #[prost(int64, tag = "2")]
    pub(super) least_significant_bits: i64,
}

impl Uuid {
    pub(super) fn text(id: uuid::Uuid) -> Self {
        Self { value: Some(UuidValue::String(id.to_string())) }
    }

    pub(super) fn structured(id: uuid::Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        let value = StructuredUuid { most_significant_bits: high as i64, least_significant_bits: low as i64 };
        Self { value: Some(UuidValue::Structured(value)) }
    }

    /// Nothing where the text is no UUID.
    pub(super) fn read(&self) -> Option<uuid::Uuid> {
        match self.value.as_ref()? {
            UuidValue::Structured(halves) => Some(uuid::Uuid::from_u64_pair(
                halves.most_significant_bits as u64,
                halves.least_significant_bits as u64,
            )),
            UuidValue::String(text) => text.parse().ok(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Position {
    #[prost(uint64, tag = "1")]
    pub(super) commit_position: u64,
    #[prost(uint64, tag = "2")]
    pub(super) prepare_position: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadReq {
    #[prost(message, optional, tag = "1")]
    pub(super) options: Option<ReadOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadOptions {
    #[prost(oneof = "StreamOption", tags = "1, 2")]
    pub(super) stream_option: Option<StreamOption>,
    /// 0 forwards, 1 backwards.
    #[prost(int32, tag = "3")]
    pub(super) read_direction: i32,
    #[prost(bool, tag = "4")]
    pub(super) resolve_links: bool,
    #[prost(oneof = "CountOption", tags = "5, 6")]
    pub(super) count_option: Option<CountOption>,
    #[prost(oneof = "FilterOption", tags = "7, 8")]
    pub(super) filter_option: Option<FilterOption>,
    #[prost(message, optional, tag = "9")]
    pub(super) uuid_option: Option<UuidOption>,
    #[prost(message, optional, tag = "10")]
    pub(super) control_option: Option<ControlOption>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum StreamOption {
    #[prost(message, tag = "1")]
    Stream(StreamOptions),
    #[prost(message, tag = "2")]
    All(AllOptions),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum CountOption {
    #[prost(uint64, tag = "5")]
    Count(u64),
    #[prost(message, tag = "6")]
    Subscription(Empty),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum FilterOption {
    #[prost(message, tag = "7")]
    Filter(FilterOptions),
    #[prost(message, tag = "8")]
    NoFilter(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
    #[prost(oneof = "RevisionOption", tags = "2, 3, 4")]
    pub(super) revision_option: Option<RevisionOption>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RevisionOption {
    #[prost(uint64, tag = "2")]
    Revision(u64),
    #[prost(message, tag = "3")]
    Start(Empty),
    #[prost(message, tag = "4")]
    End(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AllOptions {
    #[prost(oneof = "AllOption", tags = "1, 2, 3")]
    pub(super) all_option: Option<AllOption>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AllOption {
    #[prost(message, tag = "1")]
    Position(Position),
    #[prost(message, tag = "2")]
    Start(Empty),
    #[prost(message, tag = "3")]
    End(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FilterOptions {
    #[prost(oneof = "FilterBy", tags = "1, 2")]
    pub(super) filter: Option<FilterBy>,
    #[prost(oneof = "Window", tags = "3, 4")]
    pub(super) window: Option<Window>,
    #[prost(uint32, tag = "5")]
    pub(super) checkpoint_interval_multiplier: u32,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum FilterBy {
    #[prost(message, tag = "1")]
    StreamIdentifier(Expression),
    #[prost(message, tag = "2")]
    EventType(Expression),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Window {
    #[prost(uint32, tag = "3")]
    Max(u32),
    #[prost(message, tag = "4")]
    Count(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Expression {
    #[prost(string, tag = "1")]
    pub(super) regex: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) prefix: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UuidOption {
    #[prost(oneof = "UuidForm", tags = "1, 2")]
    pub(super) content: Option<UuidForm>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum UuidForm {
    #[prost(message, tag = "1")]
    Structured(Empty),
    #[prost(message, tag = "2")]
    String(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ControlOption {
    #[prost(uint32, tag = "1")]
    pub(super) compatibility: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadResp {
    #[prost(oneof = "ReadContent", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub(super) content: Option<ReadContent>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ReadContent {
    #[prost(message, tag = "1")]
    Event(ReadEvent),
    #[prost(message, tag = "2")]
    Confirmation(SubscriptionConfirmation),
    #[prost(message, tag = "3")]
    Checkpoint(Checkpoint),
    #[prost(message, tag = "4")]
    StreamNotFound(StreamNotFound),
    #[prost(uint64, tag = "5")]
    FirstStreamPosition(u64),
    #[prost(uint64, tag = "6")]
    LastStreamPosition(u64),
    #[prost(message, tag = "7")]
    LastAllStreamPosition(Position),
    #[prost(message, tag = "8")]
    CaughtUp(CaughtUp),
    #[prost(message, tag = "9")]
    FellBehind(CaughtUp),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<RecordedEvent>,
    #[prost(message, optional, tag = "2")]
    pub(super) link: Option<RecordedEvent>,
    #[prost(oneof = "EventPosition", tags = "3, 4")]
    pub(super) position: Option<EventPosition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum EventPosition {
    #[prost(uint64, tag = "3")]
    CommitPosition(u64),
    #[prost(message, tag = "4")]
    NoPosition(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RecordedEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<Uuid>,
    #[prost(message, optional, tag = "2")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
    #[prost(uint64, tag = "3")]
    pub(super) stream_revision: u64,
    #[prost(uint64, tag = "4")]
    pub(super) prepare_position: u64,
    #[prost(uint64, tag = "5")]
    pub(super) commit_position: u64,
    #[prost(map = "string, string", tag = "6")]
    pub(super) metadata: HashMap<String, String>,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) custom_metadata: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscriptionConfirmation {
    #[prost(string, tag = "1")]
    pub(super) subscription_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Checkpoint {
    #[prost(uint64, tag = "1")]
    pub(super) commit_position: u64,
    #[prost(uint64, tag = "2")]
    pub(super) prepare_position: u64,
    #[prost(message, optional, tag = "3")]
    pub(super) timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CaughtUp {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(int64, optional, tag = "2")]
    pub(super) stream_revision: Option<i64>,
    #[prost(message, optional, tag = "3")]
    pub(super) position: Option<Position>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamNotFound {
    #[prost(message, optional, tag = "1")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
}

/// Of appends, deletions and tombstones alike: they number their fields the same.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
    #[prost(oneof = "ExpectedRevision", tags = "2, 3, 4, 5")]
    pub(super) expected: Option<ExpectedRevision>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ExpectedRevision {
    #[prost(uint64, tag = "2")]
    Revision(u64),
    #[prost(message, tag = "3")]
    NoStream(Empty),
    #[prost(message, tag = "4")]
    Any(Empty),
    #[prost(message, tag = "5")]
    StreamExists(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendReq {
    #[prost(oneof = "AppendContent", tags = "1, 2")]
    pub(super) content: Option<AppendContent>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AppendContent {
    #[prost(message, tag = "1")]
    Options(WriteOptions),
    #[prost(message, tag = "2")]
    ProposedMessage(ProposedMessage),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProposedMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<Uuid>,
    #[prost(map = "string, string", tag = "2")]
    pub(super) metadata: HashMap<String, String>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) custom_metadata: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendResp {
    #[prost(oneof = "AppendResult", tags = "1, 2")]
    pub(super) result: Option<AppendResult>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AppendResult {
    #[prost(message, tag = "1")]
    Success(AppendSuccess),
    #[prost(message, tag = "2")]
    WrongExpectedVersion(WrongExpectedVersion),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendSuccess {
    #[prost(oneof = "CurrentRevision", tags = "1, 2")]
    pub(super) current_revision: Option<CurrentRevision>,
    #[prost(oneof = "SuccessPosition", tags = "3, 4")]
    pub(super) position: Option<SuccessPosition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum CurrentRevision {
    #[prost(uint64, tag = "1")]
    Revision(u64),
    #[prost(message, tag = "2")]
    NoStream(Empty),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum SuccessPosition {
    #[prost(message, tag = "3")]
    Position(Position),
    #[prost(message, tag = "4")]
    NoPosition(Empty),
}

/// Says the same twice: once as servers before 20.10 did.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WrongExpectedVersion {
    #[prost(oneof = "OldCurrent", tags = "1, 2")]
    pub(super) old_current: Option<OldCurrent>,
    #[prost(oneof = "OldExpected", tags = "3, 4, 5")]
    pub(super) old_expected: Option<OldExpected>,
    #[prost(oneof = "NewCurrent", tags = "6, 7")]
    pub(super) current: Option<NewCurrent>,
    #[prost(oneof = "NewExpected", tags = "8, 9, 10, 11")]
    pub(super) expected: Option<NewExpected>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OldCurrent {
    #[prost(uint64, tag = "1")]
    Revision(u64),
    #[prost(message, tag = "2")]
    NoStream(Empty),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OldExpected {
    #[prost(uint64, tag = "3")]
    Revision(u64),
    #[prost(message, tag = "4")]
    Any(Empty),
    #[prost(message, tag = "5")]
    StreamExists(Empty),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum NewCurrent {
    #[prost(uint64, tag = "6")]
    Revision(u64),
    #[prost(message, tag = "7")]
    NoStream(Empty),
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum NewExpected {
    #[prost(uint64, tag = "8")]
    Revision(u64),
    #[prost(message, tag = "9")]
    Any(Empty),
    #[prost(message, tag = "10")]
    StreamExists(Empty),
    #[prost(message, tag = "11")]
    NoStream(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchAppendReq {
    #[prost(message, optional, tag = "1")]
    pub(super) correlation_id: Option<Uuid>,
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<BatchOptions>,
    #[prost(message, repeated, tag = "3")]
    pub(super) proposed_messages: Vec<ProposedMessage>,
    #[prost(bool, tag = "4")]
    pub(super) is_final: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
    #[prost(oneof = "ExpectedRevision", tags = "2, 3, 4, 5")]
    pub(super) expected: Option<ExpectedRevision>,
    #[prost(oneof = "Deadline", tags = "6, 7")]
    pub(super) deadline: Option<Deadline>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Deadline {
    #[prost(message, tag = "6")]
    At(Timestamp),
    #[prost(message, tag = "7")]
    In(Duration),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchAppendResp {
    #[prost(message, optional, tag = "1")]
    pub(super) correlation_id: Option<Uuid>,
    #[prost(oneof = "BatchResult", tags = "2, 3")]
    pub(super) result: Option<BatchResult>,
    #[prost(message, optional, tag = "4")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum BatchResult {
    #[prost(message, tag = "2")]
    Error(RpcStatus),
    #[prost(message, tag = "3")]
    Success(AppendSuccess),
}

/// `google.rpc.Status`, as the server has it: one detail, not a list of them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, optional, tag = "3")]
    pub(super) details: Option<Any>,
}

/// What a refused batch tells of a wrong version, as a detail.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WrongVersionDetail {
    #[prost(oneof = "CurrentRevision", tags = "1, 2")]
    pub(super) current: Option<CurrentRevision>,
    #[prost(oneof = "DetailExpected", tags = "3, 4, 5, 6")]
    pub(super) expected: Option<DetailExpected>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum DetailExpected {
    #[prost(uint64, tag = "3")]
    Revision(u64),
    #[prost(message, tag = "4")]
    Any(Empty),
    #[prost(message, tag = "5")]
    StreamExists(Empty),
    #[prost(message, tag = "6")]
    NoStream(Empty),
}

/// The stream that is gone.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamDeletedDetail {
    #[prost(message, optional, tag = "1")]
    pub(super) stream_identifier: Option<StreamIdentifier>,
}

/// The most bytes that one append may have.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MaximumSizeDetail {
    #[prost(uint32, tag = "1")]
    pub(super) max_append_size: u32,
}

/// Of deletions and tombstones alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteReq {
    #[prost(message, optional, tag = "1")]
    pub(super) options: Option<WriteOptions>,
}

/// Of deletions and tombstones alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteResp {
    #[prost(oneof = "DeletePosition", tags = "1, 2")]
    pub(super) position: Option<DeletePosition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum DeletePosition {
    #[prost(message, tag = "1")]
    Position(Position),
    #[prost(message, tag = "2")]
    NoPosition(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SupportedMethods {
    #[prost(message, repeated, tag = "1")]
    pub(super) methods: Vec<SupportedMethod>,
    #[prost(string, tag = "2")]
    pub(super) event_store_server_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SupportedMethod {
    #[prost(string, tag = "1")]
    pub(super) method_name: String,
    #[prost(string, tag = "2")]
    pub(super) service_name: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) features: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClusterInfo {
    #[prost(message, repeated, tag = "1")]
    pub(super) members: Vec<MemberInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MemberInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) instance_id: Option<Uuid>,
    #[prost(int64, tag = "2")]
    pub(super) time_stamp: i64,
    /// 6 follower, 8 leader, 11 shut down.
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(bool, tag = "4")]
    pub(super) is_alive: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) http_end_point: Option<EndPoint>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EndPoint {
    #[prost(string, tag = "1")]
    pub(super) address: String,
    #[prost(uint32, tag = "2")]
    pub(super) port: u32,
}
