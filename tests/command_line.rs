//! Running the built program, and what it says without what differs from run to run.

use std::path::Path;
use std::process::{Command, Output};

use insta::Settings;

/// Runs the program in a folder.
pub(crate) fn eventlift(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eventlift")).args(arguments).current_dir(folder).output().unwrap()
}

/// Runs it, and shows what it was asked, what it said and how it ended. With `--json`, which must be one line, the
/// object is shown over several lines, its keys ordered.
pub(crate) fn session(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = eventlift(folder, arguments);
    let (mut stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    if arguments.contains(&"--json") {
        assert_eq!((stdout.lines().count(), &*stderr), (1, ""), "{stdout}");
        let mut object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert!(object.is_object(), "{stdout}");
        object.sort_all_objects();
        stdout = serde_json::to_string_pretty(&object).unwrap() + "\n";
    }
    let error = if stderr.is_empty() { String::new() } else { format!("--- standard error\n{stderr}") };
    format!("$ eventlift {}\n{stdout}{error}--- exit code {}\n", arguments.join(" "), status.code().unwrap())
}

/// Compares with the snapshot of that name, whatever the run's id, folder, times, sizes, fingerprints and the program's
/// version are. With `INSTA_UPDATE=always` the snapshots are written instead; read the difference before committing it.
pub(crate) fn assert_session(name: &str, text: &str) {
    const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
    const TIME: &str = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z";
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&format!("(run |\"run\": \"|(?m:^)){UUID}( is| was|\"|  )"), "${1}[run]${2}");
    settings.add_filter(&format!("(started|updated) {TIME}"), "$1 [time]");
    settings.add_filter(&format!(r#"("(?:started|updated)_at": )"{TIME}""#), r#"${1}"[time]""#);
    settings.add_filter(r"\d+\.\d s, \d+ events a second", "[duration], [rate]");
    settings.add_filter(r"\(\d+\.\d s\)", "([duration])");
    settings.add_filter(r"about \d+\.\d s and \d+\.\d MB", "about [duration] and [size]");
    settings.add_filter(r#"("estimate": )\{[^}]*\}"#, r#"${1}"[estimate]""#);
    settings.add_filter(r#"("seconds": )[^,\s]+"#, "${1}[duration]");
    settings.add_filter("[0-9a-f]{64}", "[fingerprint]");
    settings.add_filter(&format!(r#"("eventlift": )"{}""#, env!("CARGO_PKG_VERSION")), r#"${1}"[version]""#);
    settings.add_filter(r#"file:/[^"]*/shop/"#, "file:[folder]/shop/");
    settings.add_filter(r"eventlift\.exe", "eventlift");
    // What the program was built with.
    settings.add_filter("one of file, kurrentdb, postgres, sqlite", "one of file, postgres, sqlite");
    settings.bind(|| insta::assert_snapshot!(name, text));
}
