//! Taking compression off a file, and putting it on.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;

use super::config::Compression;

/// What a file's first bytes say about its compression.
pub(super) fn detect(first: &[u8]) -> Compression {
    match first {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// What a file's name says about its compression.
pub(super) fn by_name(path: &Path) -> Compression {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The first bytes of a file, as many as say how it is compressed.
pub(super) fn first_bytes(file: &mut File) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(4);
    file.rewind()?;
    file.take(4).read_to_end(&mut first)?;
    Ok(first)
}

/// Reads what was compressed, over all members or frames. Also says which compression it was.
pub(super) fn decompress(
    mut file: Box<dyn Read + Send>,
    compression: Compression,
) -> io::Result<(Box<dyn Read + Send>, Compression)> {
    let mut first = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut first)?;
    let found = detect(&first);
    let whole = Cursor::new(first.clone()).chain(file);
    let compression = if compression == Compression::Auto { found } else { compression };
    if first.is_empty() {
        return Ok((Box::new(whole), compression));
    }
    let plain: Box<dyn Read + Send> = match compression {
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, whole)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            // Files made with `zstd --long` have windows up to this size; the memory is only taken for those.
            decoder.window_log_max(31)?;
            Box::new(decoder)
        }
        Compression::Auto | Compression::None => Box::new(whole),
    };
    Ok((plain, compression))
}

/// Compresses bytes into a gzip member or a zstd frame of their own.
pub(super) fn compress(plain: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), Default::default());
            encoder.write_all(&plain)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&plain, zstd::DEFAULT_COMPRESSION_LEVEL),
        Compression::Auto | Compression::None => Ok(plain),
    }
}
