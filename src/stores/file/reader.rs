//! Reading a file of events.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use bytestring::ByteString;
use eventlift_events::{
    Capabilities, Census, Event, EventReader, EventStream, Guarantees, Position, ReadRequest, Scope, StoreError,
    StoreErrorKind, StoreIdentity,
};
use tokio::sync::mpsc;

use super::chunks::{Chunk, ChunkError, Chunks};
use super::committed;
use super::compression;
use super::config::{Compression, FileConfig, Revisions};
use super::continuity::Continuity;
use super::decode::{self, Decoder, LineError};
use super::mapping::{Mapping, Role};
use super::noticed::{Form, Noticed};
use super::sidecar::State;
use crate::stores::local_file;

/// How many batches are read ahead.
const READ_AHEAD: usize = 2;

/// Reads a file of events, or standard input.
///
/// Cloning is cheap; every read opens the file anew.
#[derive(Clone, Debug)]
pub struct FileReader {
    source: Arc<Source>,
}

#[derive(Debug)]
struct Source {
    config: FileConfig,
    mapping: Mapping,
    identity: StoreIdentity,
    /// False for standard input and pipes.
    rereadable: bool,
    noticed: Noticed,
}

impl FileReader {
    /// Opens a file that is whole: [`open`](Self::open), but a file that a run has not ended writing fails. This is how
    /// a source is opened.
    pub fn open_whole(config: FileConfig) -> Result<Self, StoreError> {
        if !config.is_standard_stream() && committed::is_loading(&config.path) {
            let unfinished = StoreErrorKind::Unexpected("a run into it has not ended, so it is not whole".to_owned());
            return Err(StoreError::new("open", display(&config.path), unfinished)
                .hint("finish the run with `eventlift migrate` first"));
        }
        Self::open(config)
    }

    /// Opens a file. Fails when the configuration contradicts itself, and when the file is missing, a directory or
    /// not readable. Nothing of it is read yet. Of a file that eventlift writes, what is committed is read.
    pub fn open(config: FileConfig) -> Result<Self, StoreError> {
        let display = display(&config.path);
        let mapping = Mapping::new(&config)
            .map_err(|message| StoreError::new("open", &display, StoreErrorKind::Unsupported(message)))?;
        if config.is_standard_stream() {
            let identity = StoreIdentity { display, key: "file:standard input".to_owned() };
            return Ok(Self { source: Arc::new(Source::new(config, mapping, identity, false)) });
        }
        let failed = |error| io_error("open", &display, error);
        let found = std::fs::metadata(&config.path).map_err(failed)?;
        if found.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        // A pipe is not tried: opening and closing it would end whoever writes to it.
        let rereadable = found.is_file();
        if rereadable {
            File::open(&config.path).map_err(failed)?;
        }
        let key = local_file::file_key(&config.path).map_err(failed)?;
        let identity = StoreIdentity { display, key };
        Ok(Self { source: Arc::new(Source::new(config, mapping, identity, rereadable)) })
    }
}

impl FileReader {
    /// Reads the first so many bytes, on this thread and without looking at revisions. Goes on while `take` says so.
    pub(super) fn read_committed(
        &self,
        length: u64,
        take: &mut dyn FnMut(Vec<Event>) -> bool,
    ) -> Result<(), StoreError> {
        self.source.scan_up_to(Some(length), None, &ReadRequest::new(Scope::All), take)
    }
}

#[async_trait]
impl EventReader for FileReader {
    fn identity(&self) -> &StoreIdentity {
        &self.source.identity
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: !self.source.config.is_standard_stream(),
            global_order: true,
            explicit_positions: self.source.mapping.name(Role::Order).is_some(),
            sets_time: true,
            attributes: true,
            exact_data: true,
            exact_metadata: true,
            max_append_bytes: None,
            refuses_taken_ids: true,
            guarantees: Guarantees::default(),
        }
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let source = Arc::clone(&self.source);
        Box::pin(async_stream::stream! {
            let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
            let store = source.identity.display.clone();
            // A thread of its own: a read of standard input may never end, and a runtime waits for its blocking tasks.
            let scan = thread::Builder::new().name("eventlift file reader".to_owned()).spawn(move || {
                let mut deliver = |batch| sender.blocking_send(Ok(batch)).is_ok();
                if let Err(error) = source.scan(&request, &mut deliver) {
                    // Nobody listens any more where it can't be sent.
                    let _ = sender.blocking_send(Err(error));
                }
            });
            let scan = match scan {
                Ok(scan) => scan,
                Err(error) => {
                    yield Err(io_error("read", &store, error));
                    return;
                }
            };
            while let Some(batch) = receiver.recv().await {
                yield batch;
            }
            if scan.join().is_err() {
                let kind = StoreErrorKind::Unexpected("the reading thread panicked".to_owned());
                yield Err(StoreError::new("read", &store, kind).hint("this is a bug in eventlift; please report it"));
            }
        })
    }

    async fn census(&self, _scope: &Scope, _until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.source.committed()?.and_then(|state| state.last_position))
    }

    fn reading(&self) -> String {
        self.source.mapping.text()
    }

    fn is_rereadable(&self) -> bool {
        self.source.rereadable
    }

    fn taken_as(&self) -> Vec<String> {
        self.source.noticed.lines(&self.source.mapping)
    }
}

/// Takes a batch; says whether it takes more.
type Deliver<'a> = &'a mut dyn FnMut(Vec<Event>) -> bool;

impl Source {
    fn new(config: FileConfig, mapping: Mapping, identity: StoreIdentity, rereadable: bool) -> Self {
        Self { config, mapping, identity, rereadable, noticed: Noticed::default() }
    }

    fn scan(&self, request: &ReadRequest, deliver: Deliver<'_>) -> Result<(), StoreError> {
        let committed = self.committed()?;
        let unset = if committed.is_some() { Revisions::Sparse } else { Revisions::Dense };
        let revisions = self.config.revisions.unwrap_or(unset);
        self.scan_up_to(committed.map(|state| state.length), Some(revisions), request, deliver)
    }

    /// Reads the first so many bytes of the file, or all of it.
    fn scan_up_to(
        &self,
        length: Option<u64>,
        revisions: Option<Revisions>,
        request: &ReadRequest,
        deliver: Deliver<'_>,
    ) -> Result<(), StoreError> {
        let (file, compression) = self.open(length)?;
        let mut chunks = Chunks::new(file, self.config.max_line_bytes);
        let mut lines = Lines {
            source: self,
            request,
            deliver,
            decoder: Decoder::new(&self.mapping, &self.noticed),
            continuity: Continuity::new(revisions, request.after.is_none(), self.mapping.revision_base),
            numbers_revisions: self.mapping.name(Role::Revision).is_none(),
            line_number: 0,
            batch: Vec::new(),
            batch_bytes: 0,
        };
        loop {
            let chunk = match chunks.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    lines.flush();
                    return Ok(());
                }
                Err(error) => {
                    lines.flush();
                    return Err(self.chunk_error(error, lines.line_number, compression, chunks.are_arrays()));
                }
            };
            if chunks.are_arrays() {
                self.noticed.notice(Form::Arrays);
            }
            match lines.take(&chunk) {
                Ok(Flow::GoOn) => {}
                Ok(Flow::Stop) => return Ok(()),
                Err(error) => {
                    lines.flush();
                    return Err(self.line_error(error, lines.line_number, chunks.are_arrays()));
                }
            }
        }
    }

    /// What eventlift has committed, if it wrote the file.
    fn committed(&self) -> Result<Option<State>, StoreError> {
        if self.config.is_standard_stream() {
            return Ok(None);
        }
        committed::of_file(&self.config.path, &self.identity.display)
    }

    fn open(&self, length: Option<u64>) -> Result<(Box<dyn Read + Send>, Compression), StoreError> {
        let failed = |error| io_error("read", &self.identity.display, error);
        if self.config.is_standard_stream() {
            return compression::decompress(Box::new(io::stdin()), self.config.compression).map_err(failed);
        }
        let file = File::open(&self.config.path).map_err(failed)?;
        let file: Box<dyn Read + Send> = match length {
            Some(length) => Box::new(file.take(length)),
            None => Box::new(file),
        };
        compression::decompress(file, self.config.compression).map_err(failed)
    }

    fn line_error(&self, error: LineError, number: u64, in_array: bool) -> StoreError {
        let what = if in_array { "event" } else { "line" };
        let place = match error.column {
            Some(column) => format!("{what} {number}, byte {column}"),
            None => format!("{what} {number}"),
        };
        let kind = StoreErrorKind::BadInput(error.message);
        let failed = StoreError::new("read", &self.identity.display, kind).at(place);
        match error.hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }

    fn chunk_error(&self, error: ChunkError, lines: u64, compression: Compression, in_array: bool) -> StoreError {
        let next = lines + 1;
        let what = if in_array { "event" } else { "line" };
        let bad = |message: String| StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(message));
        match error {
            ChunkError::Utf8(column) => bad(format!("the {what} is not UTF-8"))
                .at(format_args!("{what} {next}, byte {column}"))
                .hint("JSON lines are UTF-8; convert the file, for example with iconv"),
            ChunkError::TooLong => bad(format!("the {what} is longer than {} bytes", self.config.max_line_bytes))
                .at(format_args!("{what} {next}"))
                .hint("is the file JSON lines? if so, raise max_line_bytes"),
            ChunkError::Array(problem) => bad(format!("the array is broken behind event {lines}: {problem}"))
                .hint("the file begins with `[`, so it is read as a JSON array of events; repair it"),
            ChunkError::OpenArray => bad(format!("the file ends in the middle of an array, behind event {lines}"))
                .hint("it was not copied or written to its end; get the whole file"),
            ChunkError::Io(error) => match (compression, error.kind()) {
                (Compression::Gzip, io::ErrorKind::UnexpectedEof) => self.cut_short("gzip member", lines),
                (Compression::Zstd, io::ErrorKind::UnexpectedEof) => self.cut_short("zstd frame", lines),
                (Compression::Gzip, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    self.broken("gzip", lines, &error)
                }
                (Compression::Zstd, io::ErrorKind::Other | io::ErrorKind::InvalidData) => {
                    self.broken("zstd", lines, &error)
                }
                _ => io_error("read", &self.identity.display, error).at(format_args!("{what} {next}")),
            },
        }
    }

    fn cut_short(&self, what: &str, lines: u64) -> StoreError {
        let message = format!("the file ends in the middle of a {what} after line {lines}");
        StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(message))
            .hint("it was not copied or written to its end; get the whole file")
    }

    fn broken(&self, what: &str, lines: u64, error: &io::Error) -> StoreError {
        let message = format!("the {what} data is broken after line {lines}: {error}");
        StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(message))
            .hint("get the file again, and compare its checksum")
    }
}

enum Flow {
    GoOn,
    Stop,
}

/// Lines on their way to being batches of events.
struct Lines<'a> {
    source: &'a Source,
    request: &'a ReadRequest,
    deliver: Deliver<'a>,
    decoder: Decoder<'a>,
    continuity: Continuity,
    numbers_revisions: bool,
    /// The number of the line or element that is being read, from 1.
    line_number: u64,
    batch: Vec<Event>,
    batch_bytes: usize,
}

impl Lines<'_> {
    fn take(&mut self, chunk: &Chunk) -> Result<Flow, LineError> {
        let text = &chunk.text;
        if let Some(elements) = &chunk.elements {
            for element in elements {
                self.line_number += 1;
                if let Flow::Stop = self.take_line(text, &text[element.clone()])? {
                    return Ok(Flow::Stop);
                }
            }
            return Ok(Flow::GoOn);
        }
        let mut start = 0;
        while start < text.len() {
            let end = memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |length| start + length);
            let line = &text[start..end];
            start = end + 1;
            self.line_number += 1;
            if let Flow::Stop = self.take_line(text, line)? {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    fn take_line(&mut self, chunk: &ByteString, line: &str) -> Result<Flow, LineError> {
        let is_done = |position| self.request.after.is_some_and(|after| position <= after);
        let line_position = Position::new(self.line_number);
        let has_order = self.source.mapping.name(Role::Order).is_some();
        if !has_order && !self.numbers_revisions && is_done(line_position) {
            return Ok(Flow::GoOn);
        }
        if line.bytes().all(|b| b.is_ascii_whitespace()) {
            return Ok(Flow::GoOn);
        }
        let fields = decode::fields(&self.source.mapping, line)?;
        let position = self.decoder.position(&fields)?.unwrap_or(line_position);
        let is_done = is_done(position);
        self.continuity.take_position(position)?;
        if self.request.until.is_some_and(|until| position > until) {
            self.flush();
            return Ok(Flow::Stop);
        }
        if is_done && !self.numbers_revisions {
            return Ok(Flow::GoOn);
        }
        let stream = self.decoder.stream(&fields, chunk)?;
        let revision = match self.decoder.revision(&fields)? {
            Some(revision) => {
                self.continuity.take_revision(&stream, revision)?;
                revision
            }
            None => self.continuity.number(&stream)?,
        };
        if is_done {
            return Ok(Flow::GoOn);
        }
        let event = self.decoder.event(&fields, chunk, stream, revision, position)?;
        if !self.request.scope.contains(&event) {
            return Ok(Flow::GoOn);
        }
        self.batch_bytes += event.size();
        self.batch.push(event);
        let is_full =
            self.batch.len() >= self.request.batch_events.get() || self.batch_bytes >= self.request.batch_bytes.get();
        Ok(if is_full { self.flush() } else { Flow::GoOn })
    }

    /// Sends the batch on; says to stop where nobody takes it any more.
    fn flush(&mut self) -> Flow {
        self.batch_bytes = 0;
        if self.batch.is_empty() {
            return Flow::GoOn;
        }
        let next = Vec::with_capacity(self.batch.len());
        let batch = std::mem::replace(&mut self.batch, next);
        if (self.deliver)(batch) { Flow::GoOn } else { Flow::Stop }
    }
}

/// Opens a file, its compression taken off.
pub(super) fn open_plain(config: &FileConfig) -> io::Result<Box<dyn Read + Send>> {
    let file = File::open(&config.path)?;
    compression::decompress(Box::new(file), config.compression).map(|(plain, _)| plain)
}

pub(super) fn display(path: &Path) -> String {
    format!("file:{}", path.display())
}

pub(super) fn io_error(action: &'static str, store: &str, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::IsADirectory {
        let kind = StoreErrorKind::Unexpected("it is a directory".to_owned());
        return StoreError::new(action, store, kind).hint("name one file in it");
    }
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    let kind = local_file::io_kind(error);
    let hint = match &kind {
        StoreErrorKind::Missing => "check the path",
        StoreErrorKind::Full => "free some space and run the same command again: it resumes",
        StoreErrorKind::ReadOnly => "make the file and its folder writable for this user",
        _ if is_denied => "check who may use the file, with `ls -l`",
        _ => return StoreError::new(action, store, kind),
    };
    StoreError::new(action, store, kind).hint(hint)
}
