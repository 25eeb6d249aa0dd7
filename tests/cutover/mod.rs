//! Cut-overs under load, crashes at every boundary, and the way back. Checked by plain SQL, which knows nothing of
//! eventlift.

mod bad_input;
pub(crate) mod boundaries;
pub(crate) mod story;
pub(crate) mod world;

use world::Sqlite;

#[test]
fn the_whole_story_between_two_sqlite_databases() {
    story::tell(&Sqlite::new());
}
