//! The position map on PostgreSQL, against what the events say, and the query of the documentation.

use proptest::prelude::*;

use super::database::Database;
use crate::mapped::laws::{any_run, block_on, config, play};
use crate::mapped::{Target, older};

proptest! {
    #![proptest_config(config(24))]

    #[test]
    #[ignore = "needs a PostgreSQL server: cargo xtask test"]
    fn a_translated_checkpoint_skips_nothing_in_postgres(run in any_run(), in_ranges in any::<bool>()) {
        block_on(async { play(Target::Postgres(Box::new(Database::create().await)), run, in_ranges).await });
    }

    #[test]
    #[ignore = "needs a PostgreSQL server: cargo xtask test"]
    fn a_map_of_an_earlier_version_in_postgres_is_read_and_gone_on_with(older in older::any_older()) {
        block_on(async { older::play(Target::Postgres(Box::new(Database::create().await)), older).await });
    }
}
