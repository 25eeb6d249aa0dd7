//! A file as it is before anything is written to it.

use std::fs::File;

use eventlift_events::{Event, EventOrigin, Fitness, StoreError, StoreIdentity};

use super::appender::{compression_of, foreign, found_file, writable_mapping, write_line};
use super::committed;
use super::config::FileConfig;
use super::encode::Encoder;
use super::mapping::Role;
use super::reader::{display, io_error};
use super::sidecar;
use super::writer::capabilities;
use crate::ledger::LedgerDatabase;
use crate::stores::local_file;
use crate::stores::prospect::Prospect;

/// Whether a line can hold an event.
struct FileFitness {
    encoder: Encoder,
    most: usize,
    display: String,
    line: Vec<u8>,
}

impl Fitness for FileFitness {
    fn check(&mut self, event: &Event, _: Option<&EventOrigin>) -> Result<(), StoreError> {
        self.line.clear();
        write_line(&mut self.encoder, event, event.position, self.most, &self.display, &mut self.line)?;
        // One huge event must not be paid for until the end.
        self.line.shrink_to(1 << 20);
        Ok(())
    }
}

impl FileConfig {
    /// Looks at the file, or standard output, as a target, without changing or making it. Fails where a writer would not
    /// open it.
    pub(in crate::stores) fn prospect(&self) -> Result<Prospect, StoreError> {
        let display = display(&self.path);
        let mapping = writable_mapping(self, &display)?;
        let (writing, keeps_positions) = (mapping.text(), mapping.name(Role::Order).is_some());
        let encoder = Encoder::new(mapping);
        let fitness = FileFitness { encoder, most: self.max_line_bytes, display: display.clone(), line: Vec::new() };
        let prospect = |key: String, is_file| {
            let identity = StoreIdentity { display: display.clone(), key };
            Prospect::new(identity, capabilities(is_file, keeps_positions)).asking(fitness).writing(writing)
        };
        if self.is_standard_stream() {
            return Ok(prospect("file:standard output".to_owned(), false));
        }
        let failed = |error| io_error("open", &display, error);
        let Some(found) = found_file(&self.path).map_err(failed)? else { return Ok(prospect(display.clone(), true)) };
        if found.permissions().readonly() {
            return Err(failed(std::io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        let state = committed::of_file(&self.path, &display)?;
        if state.is_none() && found.len() > 0 {
            return Err(foreign(&display));
        }
        let key = local_file::file_key(&self.path).map_err(failed)?;
        let prospect = prospect(key, true);
        let Some(state) = state else { return Ok(prospect) };
        let mut file = File::open(&self.path).map_err(failed)?;
        compression_of(self, &mut file, state.length, &display)?;
        let ledger = LedgerDatabase::look_at(&sidecar::path(&self.path), &display)?;
        let ledger = ledger.map(|ledger| Box::new(ledger) as _);
        Ok(prospect.holding(state.lines == 0, state.last_position).recorded_in(ledger))
    }
}
