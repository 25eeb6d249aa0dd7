//! `map checkpoints --file`: the checkpoints in a CSV file, or in JSON lines.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use eventlift_language::json::{Document, Pointer, decode, encode};
use serde::Serialize;

use super::super::arguments::CheckpointArguments;
use super::super::error::CommandError;
use super::super::output::Report;
use super::translated::{LastRun, Translated, translate};
use crate::config::Project;
use crate::pipeline::PositionMap;

/// The longest line that is read.
const LONGEST_LINE: u64 = 16 << 20;

/// What was translated.
#[derive(Debug, Serialize)]
pub(in super::super) struct FileReport {
    file: String,
    out: Option<String>,
    rows: u64,
    /// Rows that say something else now.
    changed: u64,
    /// Rows that stand for nothing done.
    empty: u64,
}

/// Translates the checkpoints of a file. What is written takes its place only once all of it is.
pub(in super::super) async fn checkpoint_file(
    project: &Project,
    file: &Path,
    arguments: &CheckpointArguments,
) -> Result<FileReport, CommandError> {
    let run = LastRun::of(project).await?;
    let map = run.map().await?;
    let unreadable = |source| CommandError::Read { path: file.display().to_string(), source };
    let input = BufReader::new(File::open(file).map_err(unreadable)?);
    let mut report = FileReport {
        file: file.display().to_string(),
        out: arguments.out.as_ref().map(|out| out.display().to_string()),
        rows: 0,
        changed: 0,
        empty: 0,
    };
    let mut output = Output::open(arguments.out.as_deref())?;
    match (&arguments.column, &arguments.pointer) {
        (Some(column), None) => csv_rows(&map, file, input, column, &mut output, &mut report).await?,
        (None, Some(pointer)) => json_lines(&map, file, input, pointer, &mut output, &mut report).await?,
        _ => return Err(CommandError::usage("a CSV file needs --column, JSON lines need --pointer")),
    }
    output.finish()?;
    Ok(report)
}

async fn csv_rows(
    map: &PositionMap<'_>,
    file: &Path,
    input: impl Read,
    column: &str,
    output: &mut Output,
    report: &mut FileReport,
) -> Result<(), CommandError> {
    let broken = |error: csv::Error| {
        let place = match error.position() {
            Some(position) => format!("{}:{}", file.display(), position.line()),
            None => file.display().to_string(),
        };
        CommandError::Untranslatable { place, problem: error.to_string() }
    };
    let mut reader = csv::Reader::from_reader(input);
    let header = reader.headers().map_err(broken)?.clone();
    let Some(index) = header.iter().position(|name| name == column) else {
        let known: Vec<&str> = header.iter().collect();
        let problem = format!("there is no column {column:?} among {}", known.join(", "));
        return Err(CommandError::Untranslatable { place: format!("{}:1", file.display()), problem });
    };
    if header.iter().skip(index + 1).any(|name| name == column) {
        let problem = format!("two columns are called {column:?}");
        return Err(CommandError::Untranslatable { place: format!("{}:1", file.display()), problem });
    }
    output.record(header.iter())?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{}:{line}", file.display());
        let value = record.get(index).unwrap_or_default();
        let translated = translate(map, value, place).await?;
        let text = report.count(value, &translated);
        output.record(record.iter().enumerate().map(|(at, field)| if at == index { &*text } else { field }))?;
    }
    Ok(())
}

async fn json_lines(
    map: &PositionMap<'_>,
    file: &Path,
    mut input: impl BufRead,
    pointer: &str,
    output: &mut Output,
    report: &mut FileReport,
) -> Result<(), CommandError> {
    let pointer = Pointer::parse(pointer).map_err(|error| CommandError::usage(format!("--pointer: {error}")))?;
    if pointer.has_wildcard() {
        return Err(CommandError::usage("--pointer leads to one value, and has no wildcards"));
    }
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let place = || format!("{}:{number}", file.display());
        let unreadable = |source| CommandError::Read { path: file.display().to_string(), source };
        let read = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            let problem = format!("the line has more than {LONGEST_LINE} bytes");
            return Err(CommandError::Untranslatable { place: place(), problem });
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            output.line(b"")?;
            continue;
        }
        let broken = |reason: eventlift_language::Reason| CommandError::Untranslatable {
            place: place(),
            problem: reason.to_string(),
        };
        let mut document = Document::parse(text).map_err(broken)?;
        let value = document.get(&pointer).map_err(broken)?.map(|value| value.into_owned());
        let Some(value) = value else {
            let problem = format!("there is nothing at {}", pointer.as_str());
            return Err(CommandError::Untranslatable { place: place(), problem });
        };
        let is_text = value.starts_with('"');
        let plain = match value.as_str() {
            "null" => String::new(),
            json if is_text => decode(json).unwrap_or_default().into_owned(),
            json => json.to_owned(),
        };
        let translated = translate(map, &plain, place).await?;
        let became = report.count(&plain, &translated);
        if translated == Translated::Nothing || became == plain {
            output.line(text)?;
            continue;
        }
        // Two numbers are text, as they were.
        let json = match () {
            () if became.is_empty() => "null".to_owned(),
            () if is_text => encode(&became),
            () => became,
        };
        document.set(&pointer, &json).map_err(broken)?;
        output.line(&document.write())?;
    }
}

impl FileReport {
    /// Counts a row, and says what it says now.
    fn count(&mut self, value: &str, translated: &Translated) -> String {
        self.rows += 1;
        let became = match translated {
            Translated::Nothing => {
                self.empty += 1;
                return value.to_owned();
            }
            Translated::To(position) => position.map(|position| position.to_string()).unwrap_or_default(),
        };
        self.changed += u64::from(became != value);
        became
    }
}

/// Standard output, or a file that takes its place once all of it is written.
enum Output {
    Standard(BufWriter<std::io::Stdout>),
    File { out: PathBuf, temporary: BufWriter<tempfile::NamedTempFile> },
}

impl Output {
    fn open(out: Option<&Path>) -> Result<Self, CommandError> {
        let Some(out) = out else { return Ok(Self::Standard(BufWriter::new(std::io::stdout()))) };
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unwritable = |source| CommandError::Write { path: out.display().to_string(), source };
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
        Ok(Self::File { out: out.to_owned(), temporary: BufWriter::new(temporary) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        let (written, path) = match self {
            Self::Standard(output) => (output.write_all(bytes), "standard output".to_owned()),
            Self::File { out, temporary } => (temporary.write_all(bytes), out.display().to_string()),
        };
        written.map_err(|source| CommandError::Write { path, source })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), CommandError> {
        self.write(line)?;
        self.write(b"\n")
    }

    fn record<'f>(&mut self, fields: impl Iterator<Item = &'f str>) -> Result<(), CommandError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let broken = |problem: String| CommandError::Untranslatable { place: "the output".to_owned(), problem };
        writer.write_record(fields).map_err(|error| broken(error.to_string()))?;
        let line = writer.into_inner().map_err(|error| broken(error.to_string()))?;
        self.write(&line)
    }

    fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Standard(mut output) => {
                let failed = |source| CommandError::Write { path: "standard output".to_owned(), source };
                output.flush().map_err(failed)
            }
            Self::File { out, temporary } => {
                let path = out.display().to_string();
                let unwritable = |source| CommandError::Write { path: path.clone(), source };
                let temporary = temporary.into_inner().map_err(|error| unwritable(error.into_error()))?;
                temporary.as_file().sync_all().map_err(unwritable)?;
                temporary.persist(&out).map_err(|error| unwritable(error.error))?;
                Ok(())
            }
        }
    }
}

impl Report for FileReport {
    fn leaves_standard_output(&self) -> bool {
        self.out.is_none()
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileReport { file, rows, changed, empty, .. } = self;
        write!(f, "{file}: {rows} checkpoints, {changed} of them at another position now, {empty} with nothing done")
    }
}
