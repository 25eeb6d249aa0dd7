//! The list of the checks, and two ways to run it.

use std::future::Future;
use std::pin::Pin;

use super::subject::{Failure, StoreUnderTest, Verdict};

/// A check by its name.
pub struct Check {
    /// The name of its function in [`checks`](super::checks).
    pub name: &'static str,
    /// Runs it on an empty store.
    pub run: for<'a> fn(&'a dyn StoreUnderTest) -> Running<'a>,
}

/// A check that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Hands the names of all checks to a macro, behind the arguments given.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_check {
    ($receiver:ident $arguments:tt) => {
        $crate::$receiver! { $arguments
            every_field_comes_back
            every_kind_of_payload_comes_back
            json_comes_back_to_the_byte
            every_byte_value_comes_back
            text_of_every_script_comes_back
            odd_names_come_back_or_are_refused
            odd_payloads_come_back_or_are_refused
            ids_of_every_kind_come_back
            times_come_back
            attributes_come_back
            positions_come_back
            positions_that_do_not_fit_are_refused
            readers_and_writers_agree_on_the_store
            an_empty_store_reads_empty
            events_come_in_store_order
            a_read_resumes_behind_any_position
            a_read_stops_behind_until
            batches_keep_to_their_limits
            scopes_select_exactly
            categories_do_not_swallow_their_prefixes
            a_census_counts_what_a_read_yields
            the_head_is_the_last_position
            a_reader_does_not_block_a_writer
            reads_are_independent
            appends_continue_streams
            a_missing_revision_is_a_conflict
            another_id_at_a_revision_is_a_conflict
            an_id_that_is_taken_is_a_conflict
            a_refused_append_leaves_nothing
            a_conflict_within_an_append_is_found
            a_position_that_is_taken_is_refused
            the_same_append_twice_changes_nothing
            a_repeat_may_go_on_where_it_stopped
            a_lost_answer_is_made_good
            a_rejected_append_can_be_repeated
            too_large_an_append_is_refused
            the_store_tells_its_end_to_writers
            a_second_writer_is_refused
            a_checkpoint_commits_with_its_events
            a_checkpoint_commits_without_events
            state_is_set_overwritten_and_forgotten
            state_comes_in_the_order_of_the_keys
            position_ranges_are_kept_by_their_start
            position_ranges_come_in_pages
            a_position_finds_its_range
            a_range_of_no_length_takes_one_away
            late_positions_are_found_from_both_sides
            runs_do_not_share_progress
            progress_survives_sealing
            the_ledger_keeps_runs_in_order
            the_ledger_keeps_every_field
            a_loading_store_takes_events_and_progress
            a_loading_store_tells_its_end
            sealing_twice_is_sealing_once
            an_empty_store_can_be_sealed
            a_sealed_store_stays_sealed
            a_sealed_store_takes_more
            sealing_finds_a_gap
            sealing_allows_gaps_where_told
            sealing_finds_a_taken_id
            sealing_finds_a_taken_revision
            sealing_finds_a_taken_position
            sealing_finds_revisions_out_of_order
            loading_twice_never_doubles_unseen
            notes_come_in_the_order_of_their_keys
            notes_are_overwritten_and_struck_out
            notes_are_kept_apart_by_run_and_book
            notes_commit_with_their_events
            heads_are_the_last_revisions
            a_sealed_store_gives_events_back
            a_loading_store_gives_events_back
            sealing_looks_again_after_events_were_withdrawn
            erasing_to_a_position_leaves_what_was_there
            erasing_everything_leaves_a_new_store
            erasing_behind_the_ends_takes_nothing_or_all
            a_rewrite_changes_events_where_they_are
            a_rewrite_of_what_has_changed_is_refused
            undoing_brings_back_the_originals
            undoing_leaves_what_was_changed_since
            a_payload_of_16_mib_comes_back
            ten_thousand_streams_come_back
            reading_takes_bounded_memory
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_table {
    (() $($name:ident)*) => {
        /// Every check, in the order in which to read their failures: what later ones build on comes first.
        pub const CHECKS: &[Check] = &[$(
            Check { name: stringify!($name), run: |store| Box::pin($crate::conformance::checks::$name(store)) },
        )*];
    };
}

__every_check!(__check_table());

/// Stamps one `#[test]` for every check: `conformance_tests!(store: …, block_on: …)`. See [the suite](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    (store: $store:expr, block_on: $block_on:expr $(,)?) => {
        $crate::__every_check!(__stamp_tests(($store)($block_on)));
    };
    (store: $store:expr, block_on: $block_on:expr, ignore: $reason:literal $(,)?) => {
        $crate::__every_check!(__stamp_ignored_tests(($store)($block_on)($reason)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stamp_tests {
    ((($store:expr) ($block_on:expr)) $($name:ident)*) => {
        $(
            #[test]
            fn $name() -> $crate::conformance::Verdict {
                ($block_on)(async {
                    let store = $store;
                    $crate::conformance::checks::$name(&store).await
                })
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stamp_ignored_tests {
    ((($store:expr) ($block_on:expr) ($reason:literal)) $($name:ident)*) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $name() -> $crate::conformance::Verdict {
                ($block_on)(async {
                    let store = $store;
                    $crate::conformance::checks::$name(&store).await
                })
            }
        )*
    };
}

/// Runs every check, each on a store of its own, and yields the failures with the names of their checks.
pub async fn run_all<S: StoreUnderTest>(fresh: impl AsyncFn() -> S) -> Vec<(&'static str, Failure)> {
    let mut failures = Vec::new();
    for check in CHECKS {
        let store = fresh().await;
        if let Err(failure) = (check.run)(&store).await {
            failures.push((check.name, failure));
        }
    }
    failures
}
