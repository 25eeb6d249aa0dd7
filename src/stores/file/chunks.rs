//! A file in pieces that end where a line ends, or an element of an array.

use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

use super::arrays::Arrays;

/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

/// Reads whole lines, many at once; or, where the file begins with `[`, whole elements of arrays.
pub(super) struct Chunks {
    file: Box<dyn Read + Send>,
    /// The start of a line or element whose end was not read yet.
    rest: Vec<u8>,
    max_line: usize,
    state: State,
    /// Where the file is made of arrays.
    arrays: Option<Arrays>,
}

/// A piece of a file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) text: ByteString,
    /// Where its events are, if it is of arrays; none where each line is one.
    pub(super) elements: Option<Vec<Range<usize>>>,
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
    /// The next line or element is longer than the most that is read.
    TooLong,
    /// What is between the elements of an array is not what should be there.
    Array(&'static str),
    /// The file ends in an array.
    OpenArray,
}

impl Chunks {
    pub(super) fn new(file: Box<dyn Read + Send>, max_line: usize) -> Self {
        Self { file, rest: Vec::new(), max_line, state: State::Start, arrays: None }
    }

    /// Whether events are elements of arrays, once something was read.
    pub(super) fn are_arrays(&self) -> bool {
        self.arrays.is_some()
    }

    /// Whole lines, with their ends; the last one may have none. Or whole elements. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, ChunkError> {
        loop {
            match std::mem::replace(&mut self.state, State::End) {
                State::End => return Ok(None),
                State::Failed(error) => return Err(error),
                State::Middle => self.state = State::Middle,
                State::Start => {
                    self.state = State::Middle;
                    self.find_form()?;
                }
            }
            let chunk = match self.arrays.take() {
                Some(mut arrays) => {
                    let chunk = self.fill_elements(&mut arrays);
                    self.arrays = Some(arrays);
                    chunk
                }
                None => {
                    let lines = self.fill();
                    self.as_text(lines, None).map(|text| Chunk { text, elements: None })
                }
            };
            if let Some(chunk) = chunk {
                return Ok(Some(chunk));
            }
        }
    }

    /// Looks at the first byte that says something.
    fn find_form(&mut self) -> Result<(), ChunkError> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let mut byte = [0];
        loop {
            match self.file.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => self.rest.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.state = State::End;
                    return Err(ChunkError::Io(error));
                }
            }
            if !byte[0].is_ascii_whitespace() && !BYTE_ORDER_MARK.contains(&byte[0]) {
                break;
            }
            if self.rest.len() > self.max_line.max(CHUNK) {
                break;
            }
        }
        if self.rest.starts_with(BYTE_ORDER_MARK) {
            self.rest.drain(..BYTE_ORDER_MARK.len());
        }
        self.arrays = (self.rest.last() == Some(&b'[')).then(Arrays::new);
        Ok(())
    }

    /// Reads on until there is the end of an element, and keeps what is behind it for the next time. None where there
    /// is no element, or none any more.
    fn fill_elements(&mut self, arrays: &mut Arrays) -> Option<Chunk> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut elements = Vec::new();
        loop {
            let wanted = CHUNK.max(bytes.len());
            bytes.reserve_exact(wanted);
            let outcome = self.file.by_ref().take(wanted as u64).read_to_end(&mut bytes);
            let scanned = arrays.scan(&bytes, &mut elements);
            let end = match (scanned, outcome) {
                (Err(problem), _) => Some(State::Failed(ChunkError::Array(problem))),
                (Ok(()), Err(error)) => Some(State::Failed(ChunkError::Io(error))),
                (Ok(()), Ok(read)) if read < wanted => {
                    let ends_inside = arrays.end(bytes.len(), &mut elements);
                    Some(if ends_inside { State::Failed(ChunkError::OpenArray) } else { State::End })
                }
                (Ok(()), Ok(_)) => None,
            };
            let cut = elements.last().map_or(0, |element: &Range<usize>| element.end);
            if let Some(state) = end {
                self.state = state;
                bytes.truncate(cut);
                break;
            }
            if cut > 0 {
                self.rest = bytes.split_off(cut);
                arrays.forget(cut);
                break;
            }
            if bytes.len() > self.max_line {
                self.state = State::Failed(ChunkError::TooLong);
                return None;
            }
        }
        let text = self.as_text(bytes, Some(&mut elements))?;
        Some(Chunk { text, elements: Some(elements) })
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

    /// The lines or elements as text, up to the one that is not UTF-8. None where that leaves nothing.
    fn as_text(&mut self, lines: Vec<u8>, elements: Option<&mut Vec<Range<usize>>>) -> Option<ByteString> {
        let valid = match std::str::from_utf8(&lines) {
            Ok(_) => lines.len(),
            Err(error) => {
                let bad_byte = error.valid_up_to();
                let line_start = match elements {
                    None => memchr::memrchr(b'\n', &lines[..bad_byte]).map_or(0, |at| at + 1),
                    Some(elements) => {
                        let good = elements.iter().take_while(|element| element.end <= bad_byte).count();
                        let start = elements.get(good).map_or(bad_byte, |element| element.start).min(bad_byte);
                        elements.truncate(good);
                        start
                    }
                };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &'static [u8], max_line: usize) -> (String, Option<ChunkError>) {
        let mut chunks = Chunks::new(Box::new(bytes), max_line);
        let mut text = String::new();
        loop {
            match chunks.next() {
                Ok(Some(chunk)) => text.push_str(&chunk.text),
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
            joined.push_str(&chunk.text);
            assert!(chunk.text.ends_with('\n') || joined.len() == text.len());
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

    /// The elements, whatever pieces they were read in.
    fn elements(text: &str, max: usize) -> (Vec<String>, Option<ChunkError>) {
        let text: &'static str = text.to_owned().leak();
        let mut chunks = Chunks::new(Box::new(text.as_bytes()), max);
        let mut found = Vec::new();
        loop {
            match chunks.next() {
                Ok(Some(Chunk { text, elements })) => {
                    found.extend(elements.unwrap().into_iter().map(|place| text[place].to_owned()));
                }
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    }

    #[test]
    fn elements_of_arrays_come_whole() {
        let long = format!(r#"{{"a":"{}"}}"#, r#"x]\"},[\\"#.repeat(CHUNK / 4));
        let all =
            [r#"{"a":[1,{"b":"]"}], "c" : "\\"}"#, "{\n \"a\": {}\n}", &long, "7", r#""x]""#, "null", "[]", &long];
        for separator in [",", " ,\n", "\n,\t"] {
            let text = format!("\u{feff} \n[ {} ]\n", all.join(separator));
            let (found, error) = elements(&text, usize::MAX);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(found, all);
        }
        let (found, error) = elements("[1,2]\n[]\n [{}] ", 100);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(found, ["1", "2", "{}"]);
    }

    #[test]
    fn what_comes_before_a_break_in_an_array_is_still_read() {
        for text in ["[1,2", "[1,2,", "[1,2,{\"a\":\"", "[1,2,{\"a\":1}"] {
            let (found, error) = elements(text, 100);
            assert!(matches!(error, Some(ChunkError::OpenArray)), "{text} {error:?}");
            assert_eq!(found[..2], ["1", "2"], "{text}");
        }
        for text in ["[1,2 {}]", "[1,2,]", "[1,2,,3]", "[1,2] 3", "[1,2]]"] {
            let (found, error) = elements(text, 100);
            assert!(matches!(error, Some(ChunkError::Array(_))), "{text} {error:?}");
            assert_eq!(found[..2], ["1", "2"], "{text}");
        }
        let endless: &'static str = format!("[\"{}", "x".repeat(4 * CHUNK)).leak();
        assert!(matches!(elements(endless, CHUNK).1, Some(ChunkError::TooLong)));
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let endless: &'static [u8] = vec![b'x'; 4 * CHUNK].leak();
        assert!(matches!(all(endless, CHUNK), (_, Some(ChunkError::TooLong))));
    }
}
