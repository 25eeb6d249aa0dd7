//! What to try where a stream has a gap.

/// For a stream that goes on with revision `found` where `expected` should be.
pub(crate) fn gap_hint(expected: u64, found: u64) -> &'static str {
    match (expected, found) {
        (0, 1) => {
            "if streams count from 1 in the source, set `revision_base = 1` under [source.attributes] (a file) or \
             [source.columns] (a table); else find the missing events, or accept gaps with `revisions = \"sparse\"` under \
             [policy] in eventlift.toml"
        }
        _ => "find the missing events, or accept gaps with `revisions = \"sparse\"` under [policy] in eventlift.toml",
    }
}
