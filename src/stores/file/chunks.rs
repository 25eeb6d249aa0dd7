//! A file in pieces that end where a line ends.

use std::io::{self, Read};

use bytes::Bytes;
use bytestring::ByteString;

/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

/// Reads whole lines, many at once.
pub(super) struct Chunks {
    file: Box<dyn Read + Send>,
    /// The start of a line whose end was not read yet.
    rest: Vec<u8>,
    max_line: usize,
    state: State,
}

enum State {
    Start,
    Middle,
    /// What stopped the reading, to be told once the lines before it are.
    Failed(ChunkError),
    End,
}

/// Why there are no more lines.
#[derive(Debug)]
pub(super) enum ChunkError {
    /// The file can't be read, or what it is compressed with is broken.
    Io(io::Error),
    /// The next line is not UTF-8, from this byte on, counted from 1.
    Utf8(usize),
    /// The next line is longer than the most that is read.
    TooLong,
}

impl Chunks {
    pub(super) fn new(file: Box<dyn Read + Send>, max_line: usize) -> Self {
        Self { file, rest: Vec::new(), max_line, state: State::Start }
    }

    /// Whole lines, with their ends; the last one may have none. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<ByteString>, ChunkError> {
        loop {
            match std::mem::replace(&mut self.state, State::End) {
                State::End => return Ok(None),
                State::Failed(error) => return Err(error),
                State::Middle => self.state = State::Middle,
                State::Start => self.state = State::Start,
            }
            let is_start = matches!(self.state, State::Start);
            let lines = self.fill();
            let lines = if is_start { without_mark(lines) } else { lines };
            if !lines.is_empty()
                && let Some(text) = self.as_text(lines)
            {
                return Ok(Some(text));
            }
        }
    }

    /// Reads on until there is the end of a line, and keeps what is behind it for the next time.
    fn fill(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            let searched = bytes.len();
            // A line that is longer than a chunk doubles what is read, so that long lines are not copied over and over.
            let wanted = CHUNK.max(searched);
            bytes.reserve_exact(wanted);
            let outcome = self.file.by_ref().take(wanted as u64).read_to_end(&mut bytes);
            let line_end = memchr::memrchr(b'\n', &bytes[searched..]).map(|at| searched + at + 1);
            match outcome {
                Ok(read) if read < wanted => {
                    self.state = State::End;
                    return bytes;
                }
                Ok(_) => self.state = State::Middle,
                Err(error) => {
                    self.state = State::Failed(ChunkError::Io(error));
                    bytes.truncate(line_end.unwrap_or(0));
                    return bytes;
                }
            }
            if let Some(line_end) = line_end {
                self.rest = bytes.split_off(line_end);
                return bytes;
            }
            if bytes.len() > self.max_line {
                self.state = State::Failed(ChunkError::TooLong);
                return Vec::new();
            }
        }
    }

    /// The lines as text, up to the one that is not UTF-8.
    fn as_text(&mut self, lines: Vec<u8>) -> Option<ByteString> {
        let valid = match std::str::from_utf8(&lines) {
            Ok(_) => lines.len(),
            Err(error) => {
                let bad_byte = error.valid_up_to();
                let line_start = memchr::memrchr(b'\n', &lines[..bad_byte]).map_or(0, |at| at + 1);
                self.state = State::Failed(ChunkError::Utf8(bad_byte - line_start + 1));
                line_start
            }
        };
        if valid == 0 {
            return None;
        }
        let text = ByteString::try_from(Bytes::from(lines).slice(..valid));
        // Cannot be an error: the bytes were just found to be UTF-8.
        text.ok()
    }
}

fn without_mark(mut lines: Vec<u8>) -> Vec<u8> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if lines.starts_with(BYTE_ORDER_MARK) {
        lines.drain(..BYTE_ORDER_MARK.len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &'static [u8], max_line: usize) -> (String, Option<ChunkError>) {
        let mut chunks = Chunks::new(Box::new(bytes), max_line);
        let mut text = String::new();
        loop {
            match chunks.next() {
                Ok(Some(chunk)) => text.push_str(&chunk),
                Ok(None) => return (text, None),
                Err(error) => return (text, Some(error)),
            }
        }
    }

    #[test]
    fn lines_of_any_length_come_whole() {
        let long = "x".repeat(3 * CHUNK);
        let text: &'static str = format!("a\n{long}\r\n\nb\n{long}").leak();
        let mut chunks = Chunks::new(Box::new(text.as_bytes()), usize::MAX);
        let mut joined = String::new();
        while let Some(chunk) = chunks.next().unwrap() {
            joined.push_str(&chunk);
            assert!(chunk.ends_with('\n') || joined.len() == text.len());
        }
        assert_eq!(joined, text);
    }

    #[test]
    fn what_comes_before_a_bad_byte_is_still_read() {
        let (text, error) = all(b"\xef\xbb\xbfa\nbc\nde\xffx\nf\n", 100);
        assert_eq!(text, "a\nbc\n");
        assert!(matches!(error, Some(ChunkError::Utf8(3))), "{error:?}");
        assert!(matches!(all(b"\xff", 100), (text, Some(ChunkError::Utf8(1))) if text.is_empty()));
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let endless: &'static [u8] = vec![b'x'; 4 * CHUNK].leak();
        assert!(matches!(all(endless, CHUNK), (_, Some(ChunkError::TooLong))));
    }
}
