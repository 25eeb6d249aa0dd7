//! Disks that are full, disks that are read-only, and files that are somebody else's.
//!
//! Mounting needs privileges. Where the tests have none they start themselves again in a user namespace of their own,
//! and say that they are skipped where that does not work either.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::{self, assert_same};
use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Output, Project};
use crate::rulebook;

/// A small file system in memory, mounted on a folder of the project.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// None where that is not allowed.
    fn mount(project: &Project, size: &str) -> Option<Self> {
        Self::mount_at(&project.path("disk"), size)
    }

    /// The same on any folder, which is made.
    pub(crate) fn mount_at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self { path: path.to_owned() })
    }

    pub(crate) fn remount(&self, option: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.path).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder can't be deleted otherwise; the next run uses another one.
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

/// Runs one of these tests in a namespace in which mounting is allowed.
pub(crate) fn in_a_namespace(test: &str) {
    const MARK: &str = "EVENTLIFT_IN_A_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        println!("skipped: file systems can't be mounted here");
        return;
    }
    let again = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env(MARK, "1")
        .output();
    match again {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => println!("skipped: neither mount nor unshare is allowed here"),
    }
}

const RULE: &str =
    "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/last\", to = \"/name\" }]\n\n";

/// A log of three transactions.
const EVENTS: u64 = 25_000;

/// A project whose target is on a small disk, and how the target should look in the end.
fn on_a_disk(toml: &str, target: &str, size: &str) -> Option<(Project, Disk, Vec<String>)> {
    let write = |project: &Project| {
        let log: String = rulebook::log(EVENTS, 3).iter().map(line).collect();
        project.write("events.ndjson", log).write("transformers/user.toml", RULE);
    };
    let project = Project::new(&toml.replace(target, &format!("disk/{target}")));
    let disk = Disk::mount(&project, size)?;
    write(&project);
    let calm = Project::new(toml);
    write(&calm);
    calm.migrate().succeeds();
    Some((project, disk, content_of(&calm.path(target))))
}

fn line(event: &eventlift::events::Event) -> String {
    format!(
        "{{\"id\":\"{}\",\"type\":\"{}\",\"subject\":\"{}\",\"time\":\"{}\",\"sequence\":{},\"streamrevision\":{},\
         \"data\":{}}}\n",
        event.id,
        event.event_type,
        event.stream,
        event.recorded_at,
        event.position,
        event.revision,
        std::str::from_utf8(event.data.bytes()).unwrap()
    )
}

fn content_of(target: &Path) -> Vec<String> {
    let mut lines = if target.extension().is_some_and(|extension| extension == "db") {
        content::of_sqlite(target)
    } else {
        tokio::runtime::Runtime::new().unwrap().block_on(content::of_file(target))
    };
    // A run names its source by its path.
    lines.retain(|line| !line.starts_with("eventlift_runs:"));
    lines
}

/// Fails for want of space, resumes where there is some, and ends as if nothing had been.
#[track_caller]
fn full(project: &Project, disk: &Disk, undisturbed: &[String], target: &str, message: &str) {
    let source = project.read("events.ndjson");
    for _ in 0..2 {
        let again = project.run("migrate", ["--skip-check", "room"]);
        assert_eq!((again.code, again.stderr.trim_end()), (Some(8), message));
    }
    assert!(project.read("events.ndjson") == source);
    disk.remount("size=64m");
    let said = project.migrate().succeeds();
    assert!(said.contains("behind where the run ended") || said.contains("all of it was done before"), "{said}");
    assert_same(undisturbed, &content_of(&project.path(target)), "after there was space again");
    project.verify().succeeds();
}

#[test]
fn a_disk_that_is_full() {
    let Some((project, disk, calm)) = on_a_disk(FILE_TO_SQLITE, "target.db", "2m") else {
        return in_a_namespace("disks::a_disk_that_is_full");
    };
    // What can be known beforehand is said beforehand.
    let refused = project.migrate();
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("FAILED  room: the source takes"), "{}", refused.stderr);
    full(
        &project,
        &disk,
        &calm,
        "disk/target.db",
        "error: failed to append to sqlite:PROJECT/disk/target.db: the disk is full\n\
         hint: free some space and run the same command again: it resumes",
    );
}

#[test]
fn a_disk_that_has_room_for_the_events_but_not_for_their_indexes() {
    let Some((project, disk, calm)) = on_a_disk(FILE_TO_SQLITE, "target.db", "3m") else {
        return in_a_namespace("disks::a_disk_that_has_room_for_the_events_but_not_for_their_indexes");
    };
    full(
        &project,
        &disk,
        &calm,
        "disk/target.db",
        "error: failed to seal sqlite:PROJECT/disk/target.db: the disk is full\n\
         hint: free some space and run the same command again: it resumes",
    );
}

#[test]
fn a_disk_that_is_full_of_lines() {
    let Some((project, disk, calm)) = on_a_disk(FILE_TO_FILE, "target.ndjson", "5m") else {
        return in_a_namespace("disks::a_disk_that_is_full_of_lines");
    };
    full(
        &project,
        &disk,
        &calm,
        "disk/target.ndjson",
        "error: failed to append to file:PROJECT/disk/target.ndjson: the disk is full\n\
         hint: free some space and run the same command again: it resumes",
    );
}

#[test]
fn a_disk_that_is_read_only() {
    for (toml, target) in [(FILE_TO_SQLITE, "target.db"), (FILE_TO_FILE, "target.ndjson")] {
        let Some((project, disk, calm)) = on_a_disk(toml, target, "64m") else {
            return in_a_namespace("disks::a_disk_that_is_read_only");
        };
        disk.remount("ro");
        let store = if target == "target.db" { "sqlite" } else { "file" };
        let message = format!(
            "error: failed to open {store}:PROJECT/disk/{target}: it is read-only\n\
             hint: check that the folder is there and can be written by this user"
        );
        project.migrate().fails(8, &message);
        assert!(!project.path("disk").join(target).exists());
        disk.remount("rw");
        project.migrate().succeeds();
        disk.remount("ro");
        project.migrate().fails(8, &message);
        // Looking is allowed.
        project.verify().succeeds();
        project.run("status", [] as [&str; 0]).succeeds();
        assert_same(&calm, &content_of(&project.path("disk").join(target)), target);
    }
}

/// Runs the program as a user for whom permissions count, which they don't for root.
fn migrate_as_a_user(project: &Project) -> Output {
    const NOBODY: u32 = 65534;
    let mut command = project.command("migrate");
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        // The built program may be in a folder that only root may look into.
        let program = project.path("eventlift");
        if !program.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_eventlift"), &program).unwrap();
        }
        mode(project.folder(), 0o755);
        command = Command::new(program);
        command.arg("migrate").arg(project.folder()).uid(NOBODY).gid(NOBODY);
    }
    project.output(&mut command)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_that_this_user_may_not_read_or_write() {
    let log: String = rulebook::log(20, 3).iter().map(line).collect();
    let project = Project::new(&FILE_TO_SQLITE.replace("target.db", "folder/target.db"));
    project.write("events.ndjson", &log).write("folder/note", "");
    mode(&project.path("folder"), 0o777);
    mode(&project.path("events.ndjson"), 0o000);
    migrate_as_a_user(&project).fails(
        8,
        "error: failed to open file:PROJECT/events.ndjson: Permission denied (os error 13)\n\
         hint: check who may use the file, with `ls -l`",
    );
    mode(&project.path("events.ndjson"), 0o444);
    mode(&project.path("folder"), 0o555);
    migrate_as_a_user(&project).fails(
        8,
        "error: failed to open sqlite:PROJECT/folder/target.db: it is read-only\n\
         hint: check that the folder is there and can be written by this user",
    );
    mode(&project.path("folder"), 0o777);
    assert_eq!(migrate_as_a_user(&project).code, Some(0));
    // Read-only bits are respected even by those who could ignore them.
    mode(&project.path("folder/target.db"), 0o444);
    project.migrate().fails(
        8,
        "error: failed to open sqlite:PROJECT/folder/target.db: it is read-only\n\
         hint: make the file writable, or name another target",
    );
    migrate_as_a_user(&project).fails(
        8,
        "error: failed to open sqlite:PROJECT/folder/target.db: it is read-only\n\
         hint: make the file writable, or name another target",
    );
    mode(&project.path("folder/target.db"), 0o666);
    assert_eq!(migrate_as_a_user(&project).code, Some(0));
    project.verify().succeeds();
}
