//! Disks that are full while read models are built.

use super::bench::{ACCOUNTS, Bench, FROM_FILE, line};
use crate::disks::{Disk, in_a_namespace};

/// Twenty thousand accounts.
fn long_log() -> String {
    (1..=20_000_u64)
        .map(|number| {
            line(number, "Moved", number - 1, &format!("{{\"id\":\"account-{number:030}\",\"amount\":{number}}}"))
        })
        .collect()
}

#[test]
fn a_disk_that_is_full() {
    let mut bench = Bench::new(&FROM_FILE.replace("read.db", "disk/read.db"));
    let Some(disk) = Disk::mount_at(&bench.path("disk"), "1m") else {
        return in_a_namespace("bad_folds::disks::a_disk_that_is_full");
    };
    bench.write("events.ndjson", long_log()).write("projections/accounts.toml", ACCOUNTS);
    // Which step finds it full depends on what the one before has left.
    for _ in 0..3 {
        let (code, text) = bench.raw("rebuild p");
        assert_eq!(code, 8, "{text}");
        assert!(text.contains("the disk is full\nhint: free some space"), "{text}");
    }
    disk.remount("size=64m");
    bench.works("rebuild p").works("rebuild p --all");
    disk.remount("ro");
    bench.about("read-only").fails(8, "rebuild p --all").fails(8, "rebuild p --since").fails(8, "rebuild p --undo");
    disk.remount("rw");
    bench.works("rebuild p --all").works("rebuild p --undo");
    bench.is("disk_full");
}

#[test]
fn a_folder_to_put_rows_aside_in_that_is_full() {
    let mut bench = Bench::new(&format!("{FROM_FILE}\n[rebuild]\nmemory = \"64 KiB\"\nfolder = \"disk/aside\"\n"));
    let Some(disk) = Disk::mount_at(&bench.path("disk"), "256k") else {
        return in_a_namespace("bad_folds::disks::a_folder_to_put_rows_aside_in_that_is_full");
    };
    bench.write("events.ndjson", long_log()).write("projections/accounts.toml", ACCOUNTS);
    bench.about("full").fails(8, "rebuild p");
    disk.remount("size=64m");
    bench.works("rebuild p").is_as_built_anew();
    disk.remount("ro");
    bench.about("read-only").fails(8, "rebuild p --all").works("rebuild p --since");
    disk.remount("rw");
    bench.works("rebuild p --all").is_as_built_anew().is("aside_full");
}
