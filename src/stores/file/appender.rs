//! The file that is written, the database beside it, and the steps in which an append becomes part of both.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use eventlift_events::{
    Event, Position, Progress, Revision, RunRecord, StoreError, StoreErrorKind, StoreIdentity, StreamName,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::committed;
use super::compression;
use super::config::{Compression, FileConfig};
use super::cut;
use super::encode::Encoder;
use super::mapping::{Mapping, Role};
use super::reader::{FileReader, display, io_error};
use super::sidecar::{self, Found, IndexKey, State, TAIL};
use crate::ledger;
use crate::stores::Claim;
use crate::stores::gap_hint::gap_hint;
use crate::stores::local_file::{self, WriterLock};

/// An open file and its database.
#[derive(Debug)]
pub(super) struct Appender {
    identity: StoreIdentity,
    config: FileConfig,
    connection: Connection,
    target: Target,
    compression: Compression,
    encoder: Encoder,
    state: State,
    /// The last committed bytes, up to [`TAIL`].
    tail: Vec<u8>,
    /// Whether every committed line is in the index.
    indexed: bool,
    /// Whether the file may hold bytes of an append that failed.
    unclean: bool,
    // Last, so that it is freed after everything else is closed.
    _lock: Option<WriterLock>,
}

#[derive(Debug)]
enum Target {
    File(File),
    StandardOutput,
}

impl Appender {
    /// Opens or creates a file and its database.
    pub(super) fn open(config: FileConfig, claim: &Claim) -> Result<Self, StoreError> {
        let display = display(&config.path);
        let encoder = Encoder::new(writable_mapping(&config, &display)?);
        let failed = |error| io_error("open", &display, error);
        let lock = local_file::lock_store(&config.path, &display, claim)?;
        let found = found_file(&config.path).map_err(failed)?;
        if found.as_ref().is_some_and(|found| found.permissions().readonly()) {
            return Err(failed(io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        let beside = sidecar::path(&config.path);
        let holds_bytes = found.is_some_and(|found| found.len() > 0);
        if holds_bytes && !beside.exists() {
            return Err(foreign(&display));
        }
        let (connection, mut state) = open_database(&beside, &display, holds_bytes)?;
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&config.path).map_err(
            |error| match error.kind() {
                io::ErrorKind::PermissionDenied => failed(io::ErrorKind::ReadOnlyFilesystem.into()),
                _ => failed(error),
            },
        )?;
        let tail = committed::check(&mut file, &state, "open", &display)?;
        let compression = compression_of(&config, &mut file, state.length, &display)?;
        // Only a writer that was killed leaves bytes behind the committed ones: anything else was refused above.
        file.set_len(state.length).map_err(failed)?;
        sync_folder(&config.path).map_err(failed)?;
        let database_failed = |error| ledger::store_error("open", &display, error);
        state.writing = true;
        sidecar::set_state(&connection, &state).map_err(database_failed)?;
        let indexed = sidecar::has_index(&connection).map_err(database_failed)?;
        let key = local_file::file_key(&config.path).map_err(failed)?;
        Ok(Self {
            identity: StoreIdentity { display, key },
            config,
            connection,
            target: Target::File(file),
            compression,
            encoder,
            state,
            tail,
            indexed,
            unclean: false,
            _lock: Some(lock),
        })
    }

    /// Standard output, with a ledger in memory.
    pub(super) fn standard_output(config: FileConfig) -> Result<Self, StoreError> {
        let display = display(&config.path);
        let encoder = Encoder::new(writable_mapping(&config, &display)?);
        let failed = |error| ledger::store_error("open", &display, error);
        let connection = sidecar::open_in_memory().map_err(failed)?;
        sidecar::create(&connection).map_err(failed)?;
        let state = State::empty();
        sidecar::set_state(&connection, &state).map_err(failed)?;
        Ok(Self {
            identity: StoreIdentity { display, key: "file:standard output".to_owned() },
            compression: config.compression,
            config,
            connection,
            target: Target::StandardOutput,
            encoder,
            state,
            tail: Vec::new(),
            indexed: false,
            unclean: false,
            _lock: None,
        })
    }

    pub(super) fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The mapping of the lines.
    pub(super) fn writing(&self) -> String {
        self.encoder.mapping().text()
    }

    /// Whether the lines hold positions.
    pub(super) fn keeps_positions(&self) -> bool {
        self.encoder.mapping().name(Role::Order).is_some()
    }

    /// Appends events and progress, all or nothing.
    pub(super) fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        self.clean_up()?;
        if !self.indexed && self.needs_index(events) {
            self.build_index("append to")?;
        }
        let outcome = self.write_and_commit(events, progress);
        if outcome.is_err() && self.unclean {
            // Gives the room back at once; where that fails, the next call tries again and reports it.
            let _ = self.clean_up();
        }
        outcome
    }

    /// Checks the whole file and ends the load.
    pub(super) fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        self.clean_up()?;
        if self.state.sealed {
            return Ok(());
        }
        let display = self.identity.display.clone();
        let failed = |error| ledger::store_error("seal", &display, error);
        if matches!(self.target, Target::File(_)) {
            if !self.indexed {
                self.build_index("seal")?;
            }
            if let Some((line, before)) = sidecar::first_disorder(&self.connection).map_err(failed)? {
                return Err(self.disorder(line, before)?);
            }
            if dense && let Some((line, missing)) = sidecar::first_gap(&self.connection).map_err(failed)? {
                return Err(self.gap(line, missing)?);
            }
        }
        let state = State { sealed: true, sparse: !dense, ..self.state.clone() };
        sidecar::set_state(&self.connection, &state).map_err(failed)?;
        self.state = state;
        Ok(())
    }

    /// The last revision of each of these streams, in their order: by the index where there is one, otherwise by reading
    /// the file.
    pub(super) fn heads(&mut self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        self.clean_up()?;
        if matches!(self.target, Target::StandardOutput) {
            return Err(self.unsupported("look up streams in", "what is written to standard output can't be looked up"));
        }
        if self.indexed {
            let head = |stream| sidecar::head(&self.connection, stream).map(|head| head.map(Revision));
            let heads: rusqlite::Result<Vec<_>> = streams.iter().map(head).collect();
            return heads.map_err(|error| ledger::store_error("read", &self.identity.display, error));
        }
        let mut heads: HashMap<&StreamName, Option<Revision>> = streams.iter().map(|stream| (stream, None)).collect();
        if !heads.is_empty() {
            self.reader()?.read_committed(self.state.length, &mut |batch| {
                for event in &batch {
                    if let Some(head) = heads.get_mut(&event.stream) {
                        *head = (*head).max(Some(event.revision));
                    }
                }
                true
            })?;
        }
        Ok(streams.iter().map(|stream| heads.get(stream).copied().flatten()).collect())
    }

    /// Cuts the file off behind a position, and forgets the progress of the run whose record is stored.
    pub(super) fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        const ACTION: &str = "take events out of";
        self.clean_up()?;
        let Target::File(file) = &mut self.target else {
            return Err(self.unsupported(ACTION, "what is written to standard output can't be taken back"));
        };
        let display = self.identity.display.clone();
        let kept = match after {
            None => Kept::NOTHING,
            Some(after) if self.state.last_position.is_none_or(|last| last <= after) => Kept::of(&self.state),
            Some(after) => {
                let (lines, last_position) = lines_up_to(&self.config, self.compression, &self.state, after)?;
                let length = cut::length_of(file, self.state.length, lines, self.compression)
                    .map_err(|error| io_error(ACTION, &display, error))?;
                let Some(length) = length else {
                    let problem = format!("position {after} lies within a compressed part of it, which can't be cut");
                    let error = StoreError::new(ACTION, &display, StoreErrorKind::Unsupported(problem));
                    return Err(error.hint("take out all of its events, or name a target that is not compressed"));
                };
                Kept { length, lines, last_position }
            }
        };
        let tail = cut::tail(file, kept.length).map_err(|error| io_error(ACTION, &display, error))?;
        let is_empty = kept.lines == 0;
        let next = State {
            length: kept.length,
            lines: kept.lines,
            tail: sidecar::tail_hash(&tail),
            last_position: kept.last_position,
            sealed: self.state.sealed && !is_empty,
            sparse: self.state.sparse && !is_empty,
            writing: true,
        };
        let failed = |error| ledger::store_error(ACTION, &display, error);
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        sidecar::set_state(&transaction, &next).map_err(failed)?;
        if self.indexed {
            sidecar::cut_index(&transaction, next.lines).map_err(failed)?;
        }
        ledger::forget(&transaction, run.id).map_err(failed)?;
        ledger::record_run(&transaction, run).map_err(failed)?;
        // Whatever is behind the committed length is cut off by whoever opens the file next: so this comes first.
        transaction.commit().map_err(failed)?;
        self.indexed &= !is_empty;
        self.state = next;
        self.tail = tail;
        self.unclean = true;
        self.clean_up()
    }

    fn unsupported(&self, action: &'static str, problem: &str) -> StoreError {
        StoreError::new(action, &self.identity.display, StoreErrorKind::Unsupported(problem.to_owned()))
    }

    /// Whether these events can only be told from events that are there with the index: the file is sealed, or their
    /// positions don't simply go on.
    fn needs_index(&self, events: &[Event]) -> bool {
        if matches!(self.target, Target::StandardOutput) {
            return false;
        }
        if self.state.sealed || !self.keeps_positions() {
            return true;
        }
        let mut last = self.state.last_position;
        !events.iter().all(|event| last.replace(event.position).is_none_or(|last| last < event.position))
    }

    fn write_and_commit(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let display = self.identity.display.clone();
        let database_failed = |error| ledger::store_error("append to", &display, error);
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(database_failed)?;
        let mut next = self.state.clone();
        let mut lines = Vec::with_capacity(events.iter().map(Event::size).sum::<usize>() + events.len() * 200);
        let keeps_positions = self.encoder.mapping().name(Role::Order).is_some();
        for event in events {
            if self.indexed && is_there(&transaction, event, &self.state, &display)? {
                continue;
            }
            let position = if keeps_positions { event.position } else { Position::new(next.lines + 1) };
            if next.last_position.is_some_and(|last| position <= last) {
                return Err(out_of_order(event, position, next.last_position, &display));
            }
            write_line(&mut self.encoder, event, position, self.config.max_line_bytes, &display, &mut lines)?;
            next.lines += 1;
            next.last_position = Some(position);
            if self.indexed {
                sidecar::index_line(&transaction, next.lines, event).map_err(database_failed)?;
            }
        }
        if !lines.is_empty() {
            let failed = |error| io_error("append to", &display, error);
            let bytes = compression::compress(lines, self.compression).map_err(failed)?;
            self.unclean = true;
            write(&mut self.target, self.state.length, &bytes).map_err(failed)?;
            next.length += bytes.len() as u64;
            let tail = [&self.tail[..], &bytes[bytes.len().saturating_sub(TAIL)..]].concat();
            next.tail = sidecar::tail_hash(&tail);
            self.tail = tail[tail.len().saturating_sub(TAIL)..].to_vec();
            sidecar::set_state(&transaction, &next).map_err(database_failed)?;
        }
        if let Some(progress) = progress {
            ledger::commit(&transaction, progress).map_err(database_failed)?;
        }
        transaction.commit().map_err(database_failed)?;
        self.state = next;
        self.unclean = false;
        Ok(())
    }

    /// Goes back to what is committed after an append that failed.
    fn clean_up(&mut self) -> Result<(), StoreError> {
        if !self.unclean {
            return Ok(());
        }
        let display = self.identity.display.clone();
        let Target::File(file) = &mut self.target else {
            let message = "an append before failed in the middle, and what is written can't be taken back".to_owned();
            return Err(StoreError::new("append to", display, StoreErrorKind::Unexpected(message)));
        };
        self.state = sidecar::state(&self.connection).map_err(|e| ledger::store_error("append to", &display, e))?;
        self.tail = committed::check(file, &self.state, "append to", &display)?;
        file.set_len(self.state.length).map_err(|error| io_error("append to", &display, error))?;
        self.unclean = false;
        Ok(())
    }

    /// Reads the file into the index. Fails where ids or revisions are not unique.
    fn build_index(&mut self, action: &'static str) -> Result<(), StoreError> {
        let display = self.identity.display.clone();
        let failed = |error| ledger::store_error(action, &display, error);
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        sidecar::create_index_table(&transaction).map_err(failed)?;
        let mut line = 0;
        let mut outcome = Ok(());
        self.reader()?.read_committed(self.state.length, &mut |batch| {
            for event in &batch {
                line += 1;
                if outcome.is_ok() {
                    outcome = sidecar::index_line(&transaction, line, event);
                }
            }
            outcome.is_ok()
        })?;
        outcome.map_err(failed)?;
        for key in [IndexKey::Id, IndexKey::Revision] {
            if let Err(repeat) = sidecar::create_index(&transaction, key).map_err(failed)? {
                let event = self.event_on(repeat.first)?;
                let what = match key {
                    IndexKey::Id => format!("event id {} occurs", event.id),
                    IndexKey::Revision => format!("stream {} has revision {}", event.stream, event.revision),
                };
                let (times, first, last) = (repeat.times, repeat.first, repeat.last);
                let problem = format!("{what} {times} times, on lines {first} and {last}");
                return Err(StoreError::new(action, &display, StoreErrorKind::BadInput(problem))
                    .hint("repair the source, then migrate into a new target; this one is not usable"));
            }
        }
        transaction.commit().map_err(failed)?;
        self.indexed = true;
        Ok(())
    }

    fn disorder(&self, line: u64, before: u64) -> Result<StoreError, StoreError> {
        let (event, earlier) = (self.event_on(line)?, self.event_on(before)?);
        let problem = format!(
            "stream {} has revision {} on line {line}, before revision {} on line {before}",
            event.stream, event.revision, earlier.revision
        );
        Ok(StoreError::new("seal", &self.identity.display, StoreErrorKind::BadInput(problem))
            .hint("repair the order of the source, then migrate into a new target; this one is not usable"))
    }

    fn gap(&self, line: u64, missing: u64) -> Result<StoreError, StoreError> {
        let event = self.event_on(line)?;
        let problem = format!(
            "stream {} has no revision {missing}: revision {} follows where it should be, on line {line}",
            event.stream, event.revision
        );
        Ok(StoreError::new("seal", &self.identity.display, StoreErrorKind::BadInput(problem))
            .hint(gap_hint(missing, event.revision.0)))
    }

    /// The event on a committed line. Slow, but the run has failed and a person wants to know.
    fn event_on(&self, line: u64) -> Result<Event, StoreError> {
        let mut before = 0;
        let mut found = None;
        self.reader()?.read_committed(self.state.length, &mut |batch| {
            let index = usize::try_from(line - 1 - before).unwrap_or(usize::MAX);
            before += batch.len() as u64;
            found = batch.into_iter().nth(index);
            found.is_none()
        })?;
        found.ok_or_else(|| {
            let message = format!("line {line} is not there any more");
            StoreError::new("read", &self.identity.display, StoreErrorKind::Unexpected(message))
        })
    }

    fn reader(&self) -> Result<FileReader, StoreError> {
        FileReader::open(FileConfig { compression: self.compression, ..self.config.clone() })
    }
}

/// What stays of a file.
struct Kept {
    length: u64,
    lines: u64,
    last_position: Option<Position>,
}

impl Kept {
    const NOTHING: Self = Self { length: 0, lines: 0, last_position: None };

    fn of(state: &State) -> Self {
        Self { length: state.length, lines: state.lines, last_position: state.last_position }
    }
}

/// How many lines hold positions up to this one, and the position of the last of them.
fn lines_up_to(
    config: &FileConfig,
    compression: Compression,
    state: &State,
    after: Position,
) -> Result<(u64, Option<Position>), StoreError> {
    let reader = FileReader::open(FileConfig { compression, ..config.clone() })?;
    let (mut lines, mut last) = (0, None);
    reader.read_committed(state.length, &mut |batch| {
        let kept = batch.iter().take_while(|event| event.position <= after);
        for event in kept {
            lines += 1;
            last = Some(event.position);
        }
        batch.last().is_some_and(|event| event.position <= after)
    })?;
    Ok((lines, last))
}

impl Drop for Appender {
    fn drop(&mut self) {
        if matches!(self.target, Target::File(_)) && !self.unclean {
            // Where this fails, the next writer takes this one for killed, which does no harm.
            let _ = sidecar::set_state(&self.connection, &State { writing: false, ..self.state.clone() });
        }
    }
}

/// Whether the event is in the file already. An error where it contradicts what is there.
fn is_there(connection: &Connection, event: &Event, state: &State, display: &str) -> Result<bool, StoreError> {
    let failed = |error| ledger::store_error("append to", display, error);
    let head = sidecar::head(connection, &event.stream).map_err(failed)?;
    let expected = head.map_or(0, |head| head + 1);
    if event.revision.0 < expected && sidecar::holds(connection, event).map_err(failed)? {
        return Ok(true);
    }
    // While loading, gaps are left for the seal to find.
    let is_gap = event.revision.0 > expected && state.sealed && !state.sparse;
    if event.revision.0 < expected || is_gap {
        let (stream, revision, id) = (event.stream.clone(), event.revision, event.id.clone());
        let found = head.map(Revision);
        let kind = StoreErrorKind::RevisionConflict { stream, revision, id, found };
        return Err(StoreError::new("append to", display, kind));
    }
    if sidecar::holds_id(connection, &event.id).map_err(failed)? {
        let kind = StoreErrorKind::DuplicateId(event.id.clone());
        return Err(StoreError::new("append to", display, kind).at(place(event)));
    }
    Ok(false)
}

fn place(event: &Event) -> String {
    format!("stream {}, revision {}", event.stream, event.revision)
}

fn out_of_order(event: &Event, position: Position, last: Option<Position>, display: &str) -> StoreError {
    let last = last.map(|last| last.to_string()).unwrap_or_default();
    let message = format!("position {position} is not behind {last}, the last one of the file");
    StoreError::new("append to", display, StoreErrorKind::BadInput(message))
        .at(place(event))
        .hint("a file holds events in their order; with attributes.order = \"none\" that is the order of the appends")
}

/// Writes an event's line behind the others. Fails where the file has no place for something of it, or its line is too
/// long.
pub(super) fn write_line(
    encoder: &mut Encoder,
    event: &Event,
    position: Position,
    most: usize,
    display: &str,
    lines: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let start = lines.len();
    let written = encoder.line(event, position, lines).and_then(|()| fits(lines.len() - start, most));
    written
        .map_err(|message| StoreError::new("append to", display, StoreErrorKind::Unsupported(message)).at(place(event)))
}

fn fits(length: usize, most: usize) -> Result<(), String> {
    match length > most {
        true => Err(format!("its line has {length} bytes, more than max_line_bytes, {most}")),
        false => Ok(()),
    }
}

fn write(target: &mut Target, at: u64, bytes: &[u8]) -> io::Result<()> {
    match target {
        Target::File(file) => {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)?;
            // The database must never be ahead of the file, not even after a power cut.
            file.sync_data()
        }
        Target::StandardOutput => {
            let mut output = io::stdout().lock();
            output.write_all(bytes)?;
            output.flush()
        }
    }
}

pub(super) fn writable_mapping(config: &FileConfig, display: &str) -> Result<Mapping, StoreError> {
    let unsupported = |message| StoreError::new("open", display, StoreErrorKind::Unsupported(message));
    let mapping = Mapping::new(config).map_err(unsupported)?;
    if mapping.name(Role::Revision).is_none() {
        return Err(unsupported("a file that is written needs an attribute for the revision".to_owned())
            .hint("set attributes.revision of the target"));
    }
    Ok(mapping)
}

pub(super) fn found_file(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn foreign(display: &str) -> StoreError {
    let message = "it holds events that eventlift did not write".to_owned();
    StoreError::new("open", display, StoreErrorKind::Unexpected(message)).hint("name a file that does not exist yet")
}

fn open_database(beside: &Path, display: &str, holds_bytes: bool) -> Result<(Connection, State), StoreError> {
    let failed = |error| ledger::store_error("open", display, error).at(beside.display());
    let connection = sidecar::open(beside).map_err(failed)?;
    match sidecar::find(&connection).map_err(failed)? {
        Found::State(state) => {
            if !ledger::is_current(&connection).map_err(failed)? {
                connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
                ledger::create(&connection).map_err(failed)?;
                connection.execute_batch("COMMIT").map_err(failed)?;
            }
            Ok((connection, state))
        }
        Found::Nothing if holds_bytes => Err(foreign(display)),
        Found::Nothing => {
            let state = State::empty();
            connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
            sidecar::create(&connection).map_err(failed)?;
            sidecar::set_state(&connection, &state).map_err(failed)?;
            connection.execute_batch("COMMIT").map_err(failed)?;
            Ok((connection, state))
        }
        other => Err(committed::unusable(other, "open", display, beside)),
    }
}

/// The compression to go on with: the one the file has, where it holds anything.
pub(super) fn compression_of(
    config: &FileConfig,
    file: &mut File,
    length: u64,
    display: &str,
) -> Result<Compression, StoreError> {
    let wanted = match config.compression {
        Compression::Auto => compression::by_name(&config.path),
        set => set,
    };
    if length == 0 {
        return Ok(wanted);
    }
    let first = compression::first_bytes(file).map_err(|error| io_error("open", display, error))?;
    let found = compression::detect(&first);
    if config.compression != Compression::Auto && found != wanted {
        let message = format!("its compression is {found:?}, not {wanted:?}").to_lowercase();
        return Err(StoreError::new("open", display, StoreErrorKind::Unexpected(message))
            .hint("leave compression away, or name a new file"));
    }
    Ok(found)
}

/// Makes sure that a new file's name is there after a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
