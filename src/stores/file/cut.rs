//! Where a file can be cut off so that it ends with a given line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::config::Compression;
use super::sidecar::TAIL;

const BUFFER: usize = 64 << 10;

/// How many of the file's first bytes hold so many lines. None where they end within a gzip member or a zstd frame: each
/// append is one of its own, and can't be cut.
pub(super) fn length_of(
    file: &mut File,
    committed: u64,
    lines: u64,
    compression: Compression,
) -> io::Result<Option<u64>> {
    if lines == 0 {
        return Ok(Some(0));
    }
    file.rewind()?;
    let mut bytes = Counted { inner: BufReader::with_capacity(BUFFER, file.take(committed)), read: 0 };
    if matches!(compression, Compression::None | Compression::Auto) {
        return plain_length(&mut bytes, lines).map(Some);
    }
    let mut seen = 0;
    while seen < lines && !bytes.fill_buf()?.is_empty() {
        seen += match compression {
            Compression::Gzip => count_lines(flate2::bufread::GzDecoder::new(&mut bytes))?,
            _ => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut bytes)?.single_frame();
                decoder.window_log_max(31)?;
                count_lines(decoder)?
            }
        };
    }
    Ok((seen == lines).then_some(bytes.read))
}

/// The bytes up to the end of a line.
fn plain_length(bytes: &mut Counted<impl BufRead>, lines: u64) -> io::Result<u64> {
    let mut left = lines;
    loop {
        let buffer = bytes.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = memchr::memchr_iter(b'\n', buffer).zip(1..).find(|(_, number)| *number == left);
        if let Some((end, _)) = end {
            return Ok(bytes.read + end as u64 + 1);
        }
        left -= memchr::memchr_iter(b'\n', buffer).count() as u64;
        let length = buffer.len();
        bytes.consume(length);
    }
}

fn count_lines(mut plain: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut lines = 0;
    loop {
        match plain.read(&mut buffer)? {
            0 => return Ok(lines),
            length => lines += memchr::memchr_iter(b'\n', &buffer[..length]).count() as u64,
        }
    }
}

/// The last bytes of the file's first ones, up to [`TAIL`].
pub(super) fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let start = length.saturating_sub(TAIL as u64);
    let mut tail = Vec::with_capacity(TAIL);
    file.seek(SeekFrom::Start(start))?;
    file.take(length - start).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Counts what is taken from it, which a decoder does to the byte.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read += length as u64;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount as u64;
        self.inner.consume(amount);
    }
}
