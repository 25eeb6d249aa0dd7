//! The list of the checks, and two ways to run it.

use std::future::Future;
use std::pin::Pin;

use eventlift_events::conformance::{Failure, Verdict};

use super::subject::ReadModelsUnderTest;

/// A check by its name.
pub struct Check {
    /// The name of its function in [`checks`](super::checks).
    pub name: &'static str,
    /// Runs it on a store without read models.
    pub run: for<'a> fn(&'a dyn ReadModelsUnderTest) -> Running<'a>,
}

/// A check that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Hands the names of all checks to a macro, behind the arguments given.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_read_model_check {
    ($receiver:ident $arguments:tt) => {
        $crate::$receiver! { $arguments
            a_store_begins_without_read_models
            every_type_and_null_come_back
            odd_text_comes_back_or_is_refused
            a_text_of_one_mebibyte_comes_back
            numbers_come_back_to_the_digit
            times_come_back_to_the_microsecond
            json_comes_back_as_it_was_written
            reserved_and_mixed_case_names_are_taken
            rows_that_do_not_fit_are_refused
            keys_of_every_type_find_their_rows
            keys_of_several_columns_keep_their_order
            rows_come_in_the_order_of_the_keys_asked_for
            scans_page_in_the_order_of_the_keys
            a_build_is_recorded_exactly
            a_build_without_events_is_whole
            tables_that_make_no_sense_are_refused
            beginning_drops_a_leftover_shadow
            a_refused_begin_leaves_the_shadow
            generations_are_never_given_twice
            tables_of_other_projections_are_refused
            loads_add_up
            a_refused_load_adds_nothing
            a_complete_build_takes_no_load
            only_a_complete_build_is_scanned_stepped_and_swapped
            discarding_takes_the_shadow_alone
            projections_are_listed_by_name
            what_is_not_there_is_missing
            a_step_changes_rows_and_checkpoint
            a_step_from_another_checkpoint_changes_nothing
            a_step_of_the_first_events_begins_at_none
            a_step_deletes_and_creates_again
            a_step_without_rows_moves_the_checkpoint
            a_step_changes_several_tables
            a_step_on_the_shadow_leaves_the_live_build
            a_refused_step_changes_nothing
            a_unique_index_is_kept_when_a_build_completes
            a_unique_index_is_kept_in_a_step
            a_step_may_move_unique_values_between_rows
            equal_numbers_are_the_same_in_a_unique_index
            nulls_are_never_the_same
            a_swap_keeps_the_old_build
            a_swap_drops_the_earlier_previous_build
            several_projections_are_swapped_at_once
            a_refused_swap_swaps_nothing
            undo_brings_the_old_build_back
            undoing_twice_is_where_it_was
            several_projections_are_undone_at_once
            undo_leaves_the_shadow
            undo_without_a_previous_build_is_refused
            the_previous_build_is_dropped_once
            a_dropped_table_is_gone_and_comes_back
            tables_may_trade_their_shapes
            a_column_may_change_its_type
            readers_see_whole_generations
            readers_see_whole_steps
            a_hold_keeps_others_out
            holds_are_independent
            quarantine_is_kept_in_order
            quarantine_goes_with_its_build
            runs_are_numbered_and_replaced
            runs_keep_every_field
            a_snapshot_is_kept_and_replaced_by_later_ones
            a_snapshot_of_another_fingerprint_is_refused
            snapshots_need_a_live_table
            ten_thousand_rows_come_back
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __read_model_check_table {
    (() $($name:ident)*) => {
        /// Every check, in the order in which to read their failures: what later ones build on comes first.
        pub const CHECKS: &[Check] = &[$(
            Check { name: stringify!($name), run: |store| Box::pin($crate::conformance::checks::$name(store)) },
        )*];
    };
}

__every_read_model_check!(__read_model_check_table());

/// Stamps one `#[test]` for every check: `read_model_conformance_tests!(store: …, block_on: …)`. See
/// [the suite](crate::conformance).
#[macro_export]
macro_rules! read_model_conformance_tests {
    (store: $store:expr, block_on: $block_on:expr $(,)?) => {
        $crate::__every_read_model_check!(__stamp_read_model_tests(($store)($block_on)));
    };
    (store: $store:expr, block_on: $block_on:expr, ignore: $reason:literal $(,)?) => {
        $crate::__every_read_model_check!(__stamp_read_model_ignored_tests(($store)($block_on)($reason)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stamp_read_model_tests {
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
macro_rules! __stamp_read_model_ignored_tests {
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
pub async fn run_all<S: ReadModelsUnderTest>(fresh: impl AsyncFn() -> S) -> Vec<(&'static str, Failure)> {
    let mut failures = Vec::new();
    for check in CHECKS {
        let store = fresh().await;
        if let Err(failure) = (check.run)(&store).await {
            failures.push((check.name, failure));
        }
    }
    failures
}
