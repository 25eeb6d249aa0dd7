//! `$tb`, from which revision on a stream can be read: it speaks of the source's revisions, and is put into the target's.

use bytes::Bytes;
use eventlift_events::{StoreError, StoreErrorKind};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::entry::Entry;
use super::look::{End, Look, Seen};

/// Hides every event: the stream was deleted, and may be appended to again.
const DELETED: u64 = i64::MAX as u64;

/// How many events are looked at for one that says where it came from.
const TRIED: usize = 16;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "$tb", borrow)]
    truncate_before: Option<&'a RawValue>,
}

/// The digits of `$tb`: where they are, and the revision that they name. None where there is nothing to put into other
/// revisions: no `$tb`, one that is no revision, or a deletion.
fn truncate_before(data: &[u8]) -> Option<(usize, usize, u64)> {
    let text = std::str::from_utf8(data).ok()?;
    let digits = serde_json::from_str::<Head<'_>>(text).ok()?.truncate_before?.get();
    let revision = digits.parse::<u64>().ok().filter(|revision| *revision < DELETED)?;
    // A borrowed slice of the text, so this is where it starts.
    let start = (digits.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some((start, start + digits.len(), revision))
}

/// Whether an event of stream metadata speaks of revisions.
pub(super) fn speaks_of_revisions(entry: &Entry) -> bool {
    truncate_before(&entry.data).is_some()
}

/// Puts stream metadata into the revisions of a target whose stream does not have those of the source.
pub(super) struct Truncation<'a> {
    pub(super) look: &'a Look,
    /// The key that holds original revisions, where it is in use.
    pub(super) revision_key: Option<&'a str>,
    pub(super) display: &'a str,
}

impl Truncation<'_> {
    /// The event with `$tb` as the target needs it; as it is where that is the same. Everything before it must have been appended. `is_shifted`: whether events of the stream have other
    /// revisions than in the source.
    pub(super) async fn mapped(&self, stream: &str, entry: Entry, is_shifted: bool) -> Result<Entry, StoreError> {
        let Some((start, end, original)) = truncate_before(&entry.data) else { return Ok(entry) };
        let target = self.target(stream, original, is_shifted).await?;
        if target == original {
            return Ok(entry);
        }
        let data = replaced(&entry.data, start, end, target);
        Ok(Entry { data, ..entry })
    }

    /// The first revision of the target that comes from this one of the source or a later one. What is not there yet comes
    /// from a later one: nobody truncates a stream behind its end, so what is missing before it is gone from the source.
    async fn target(&self, stream: &str, original: u64, is_shifted: bool) -> Result<u64, StoreError> {
        let last = match self.look.end(stream).await? {
            End::At(last) => last,
            End::Nothing => return Ok(0),
            End::Deleted => return Ok(original),
        };
        if !is_shifted {
            return Ok(original.min(last.revision + 1));
        }
        let Some(key) = self.revision_key else {
            let problem = format!(
                "its events have other revisions than in the source, and nothing says which is the one that $tb {original} means"
            );
            let hint = "let the target keep original revisions: [target.metadata] revision = \"$originalRevision\"; or leave \
                        the metadata of streams out";
            return Err(self.refused(stream, problem, hint));
        };
        let last_original =
            original_revision(&last, key).ok_or_else(|| self.unknown(stream, last.revision, original))?;
        if last_original < original {
            return Ok(last.revision + 1);
        }
        let (mut low, mut high) = (0, last.revision);
        while low < high {
            let middle = low + (high - low) / 2;
            let (revision, found) = self.from(stream, middle, key, original).await?;
            if found < original { low = revision + 1 } else { high = middle }
        }
        let (revision, found) = match low == last.revision {
            true => (last.revision, last_original),
            false => self.from(stream, low, key, original).await?,
        };
        if revision == low || found == original {
            // What is hidden before it comes from earlier revisions: an earlier $tb was put at the first of its own.
            return Ok(revision);
        }
        // What comes before it is hidden, but has the source's revisions.
        if revision == found { Ok(original) } else { Err(self.unknown(stream, low, original)) }
    }

    /// The first event from a revision on that can be read and says which revision it had.
    async fn from(&self, stream: &str, from: u64, key: &str, original: u64) -> Result<(u64, u64), StoreError> {
        for seen in self.look.from(stream, from, TRIED).await? {
            if let Some(found) = original_revision(&seen, key) {
                return Ok((seen.revision, found));
            }
        }
        Err(self.unknown(stream, from, original))
    }

    fn unknown(&self, stream: &str, revision: u64, original: u64) -> StoreError {
        let problem = format!(
            "the event at revision {revision} of the target does not say which revision it had, or is hidden, so it is not \
             known what $tb {original} means there"
        );
        self.refused(stream, problem, "leave the metadata of streams out, and set $tb on the target by hand")
    }

    fn refused(&self, stream: &str, problem: String, hint: &str) -> StoreError {
        let place = format!("the metadata of stream {stream}");
        StoreError::new("append to", self.display, StoreErrorKind::Unsupported(problem)).at(place).hint(hint)
    }
}

/// The revision that an event had in its source, as its metadata says.
fn original_revision(seen: &Seen, key: &str) -> Option<u64> {
    serde_json::from_slice::<Value>(&seen.metadata).ok()?.get(key)?.as_u64()
}

fn replaced(data: &[u8], start: usize, end: usize, revision: u64) -> Bytes {
    let mut replaced = Vec::with_capacity(data.len() + 4);
    replaced.extend_from_slice(&data[..start]);
    replaced.extend_from_slice(revision.to_string().as_bytes());
    replaced.extend_from_slice(&data[end..]);
    replaced.into()
}

/// Stream metadata with 0 for the revision that `$tb` names, to be compared with that of another server, where that event
/// may have another revision. None where it names none.
pub(super) fn without_revision(data: &[u8]) -> Option<Bytes> {
    let (start, end, _) = truncate_before(data)?;
    Some(replaced(data, start, end, 0))
}

/// Whether the metadata that is `there` is what a server has written by itself behind the one `before`, and says what `asked`
/// does: a stream that was deleted softly is brought back when it is appended to, from the event on that was appended.
pub(super) fn brings_back(before: &[u8], there: &[u8], asked: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(before) else { return false };
    let head = serde_json::from_str::<Head<'_>>(text).ok().and_then(|head| head.truncate_before);
    let was_deleted = head.is_some_and(|digits| digits.get().parse() == Ok(DELETED));
    let (there, asked) = (without_revision(there), without_revision(asked));
    was_deleted && there.zip(asked).is_some_and(|(there, asked)| says_the_same(&there, &asked))
}

/// Whether two pieces of stream metadata say the same.
pub(super) fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(&str, u64)> {
        truncate_before(text.as_bytes()).map(|(start, end, revision)| (&text[start..end], revision))
    }

    #[test]
    fn the_digits_are_found_where_they_are() {
        assert_eq!(found(r#"{"$tb":12}"#), Some(("12", 12)));
        assert_eq!(found(r#" { "a":{"$tb":3}, "\u0024tb" : 7 , "z":[] } "#), Some(("7", 7)));
        for none in
            ["", "{}", r#"{"$tb":9223372036854775807}"#, r#"{"$tb":-1}"#, r#"{"$tb":"1"}"#, r#"{"$tb":null}"#, "[]"]
        {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(found(r#"{"$tb":1,"$tb":2}"#), None);
    }

    #[test]
    fn a_server_brings_back_what_was_deleted() {
        let deleted: &[u8] = br#"{"$tb":9223372036854775807}"#;
        assert!(brings_back(deleted, br#"{"$tb":9}"#, br#"{"$tb":5}"#));
        assert!(!brings_back(br#"{"$tb":3}"#, br#"{"$tb":9}"#, br#"{"$tb":5}"#));
        assert!(!brings_back(deleted, br#"{"$tb":9,"a":1}"#, br#"{"$tb":5}"#));
        assert!(!brings_back(deleted, deleted, br#"{"$tb":5}"#));
        assert_eq!(without_revision(br#"{"a":1, "$tb" : 12}"#).unwrap(), r#"{"a":1, "$tb" : 0}"#);
    }

    #[test]
    fn the_same_is_a_matter_of_values() {
        assert!(says_the_same(br#"{"$tb":5,"a":1}"#, br#"{ "a":1, "$tb":5 }"#));
        assert!(!says_the_same(br#"{"$tb":5}"#, br#"{"$tb":6}"#));
        assert!(says_the_same(b"", b"") && !says_the_same(b"", b"x"));
    }
}
