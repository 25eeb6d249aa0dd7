//! What can be wrong with `eventlift.toml`, and what a project without a target can do.

use std::path::Path;
use std::time::Duration;

use eventlift::config::Project;
use eventlift::rebuild::FailurePolicy;
use eventlift::serve::Task;

use crate::project;

const SOURCE: &str = "[source]\nstore = \"sqlite\"\npath = \"a.db\"\n";

/// The message and the hint about a project that has this behind its source, which ends in line 3.
fn wrong(rest: &str) -> String {
    let error = Project::parse(Path::new("shop"), &format!("{SOURCE}{rest}\n")).unwrap_err();
    match &error.hint {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[track_caller]
fn is_wrong(rest: &str, expected: &str) {
    let found = wrong(rest);
    if std::env::var_os("EVENTLIFT_RECORD").is_some() {
        println!("RECORD {rest:?}\n{found}\n");
        return;
    }
    assert_eq!(found, expected, "{rest}");
}

const CRON_HINT: &str = "hint: minute, hour, day of the month, month, day of the week: \"0 2 * * *\" is every day at 02:00, \
                         \"*/15 8-18 * * MON-FRI\" every quarter of an hour on working days";

#[test]
fn cron_lines_that_are_broken() {
    for (cron, message) in [
        ("60 2 * * *", "\"60 2 * * *\": \"60\" is no minute (0-59)"),
        ("0 24 * * *", "\"0 24 * * *\": \"24\" is no hour (0-23)"),
        ("0 2 0 * *", "\"0 2 0 * *\": \"0\" is no day of the month (1-31)"),
        ("0 2 * JANUARY *", "\"0 2 * JANUARY *\": \"JANUARY\" is no month (1-12 or JAN-DEC)"),
        ("0 2 * * MO", "\"0 2 * * MO\": \"MO\" is no day of the week (0-7 or SUN-SAT)"),
        ("0 2 * *", "\"0 2 * *\" has 4 fields instead of five"),
        ("0 0 2 * * *", "\"0 0 2 * * *\" has 6 fields instead of five"),
        ("", "\"\" has 0 fields instead of five"),
        ("daily", "\"daily\" has 1 field instead of five"),
        ("0 0 31 2 *", "\"0 0 31 2 *\" never comes: there is no such day"),
    ] {
        let rest = format!(
            "\n[schedule.weekly]\ncron = \"0 0 * * 0\"\nrebuild = \"all\"\n[schedule.nightly]\nrebuild = \"all\"\ncron = \"{cron}\""
        );
        let place = "failed to read shop/eventlift.toml:10: [schedule.nightly] cron: ";
        is_wrong(&rest, &format!("{place}{message}\n{CRON_HINT}"));
    }
    let alias = "failed to read shop/eventlift.toml:5: [schedule.nightly] cron: \"@nightly\" is no cron line: with @ there are \
                 @hourly, @daily, @weekly, @monthly and @yearly";
    is_wrong("[schedule.nightly]\ncron = \"@nightly\"\nrebuild = \"all\"", &format!("{alias}\n{CRON_HINT}"));
}

#[test]
fn schedules_that_are_broken() {
    let nightly = "[schedule.nightly]\ncron = \"0 2 * * *\"\n";
    let example =
        "hint: for example rebuild = [\"customers\"], rebuild = \"changed\", rebuild = \"all\" or update = \"all\"";
    let place = "failed to read shop/eventlift.toml";
    for (rest, message) in [
        ("", format!("{place}:4: [schedule.nightly]: says neither `rebuild` nor `update`\n{example}")),
        (
            "rebuild = \"all\"\nupdate = \"all\"",
            format!(
                "{place}:7: [schedule.nightly]: has both `rebuild` and `update`\nhint: make two schedules of it; an update is part of every rebuild"
            ),
        ),
        ("rebuild = []", format!("{place}:6: [schedule.nightly] rebuild: [] is no list of projections\n{example}")),
        ("update = [1]", format!("{place}:6: [schedule.nightly] update: [1] is no list of projections\n{example}")),
        ("update = true", format!("{place}:6: [schedule.nightly] update: true is no list of projections\n{example}")),
        (
            "rebuild = [\"a\", \"b\", \"a\"]",
            format!("{place}:6: [schedule.nightly] rebuild: a is named twice\nhint: take one away"),
        ),
        (
            "rebuild = \"chnged\"",
            format!(
                "{place}:6: [schedule.nightly] rebuild: \"chnged\" is neither \"changed\" nor \"all\" nor a list of projections\nhint: did you mean `changed`?"
            ),
        ),
        (
            "update = \"orders\"",
            format!(
                "{place}:6: [schedule.nightly] update: \"orders\" is neither \"all\" nor a list of projections\nhint: a projection is named in a list: update = [\"orders\"]"
            ),
        ),
        (
            "time_zone = \"Europe/Berln\"\nupdate = \"all\"",
            format!(
                "{place}:6: [schedule.nightly] time_zone: there is no time zone \"Europe/Berln\"\nhint: did you mean `Europe/Berlin`?"
            ),
        ),
        (
            "time_zone = \"+01:00\"\nupdate = \"all\"",
            format!(
                "{place}:6: [schedule.nightly] time_zone: there is no time zone \"+01:00\"\nhint: a time zone is a name such as \"Europe/Berlin\" or \"UTC\""
            ),
        ),
        (
            "timezone = \"UTC\"",
            format!(
                "{place}:6: unknown field `timezone`, expected one of `cron`, `time_zone`, `rebuild`, `update`\nhint: did you mean `time_zone`?"
            ),
        ),
    ] {
        is_wrong(&format!("{nightly}{rest}"), &message);
    }
    is_wrong("[schedule.nightly]\nupdate = \"all\"", &format!("{place}:4: missing field `cron`"));
    is_wrong(
        "[schedule]\ncron = \"0 2 * * *\"",
        &format!("{place}:5: invalid type: string \"0 2 * * *\", expected a table, [schedule.NAME]"),
    );
}

#[test]
fn settings_that_are_broken() {
    let place = "failed to read shop/eventlift.toml";
    let size = "hint: a size is a number of bytes, or text such as \"512 KiB\", \"64 MiB\" or \"2 GiB\"";
    let time = "hint: a length of time is text such as \"30s\", \"5m\" or \"1h 30m\"";
    for (rest, message) in [
        ("[rebuild]\nmemory = \"64 MB\"", format!("{place}:5: [rebuild] memory: \"64 MB\" is no size\n{size}")),
        ("[rebuild]\nmemory = -1", format!("{place}:5: [rebuild] memory: -1 is no size\n{size}")),
        ("[rebuild]\nmemory = 1.5", format!("{place}:5: [rebuild] memory: 1.5 is no size\n{size}")),
        (
            "[rebuild]\nsave_every = \"soon\"",
            format!("{place}:5: [rebuild] save_every: \"soon\" is no length of time\n{time}"),
        ),
        (
            "[rebuild]\nsave_every = \"0s\"",
            format!("{place}:5: [rebuild] save_every: \"0s\" is no length of time\n{time}"),
        ),
        ("[rebuild]\nworkers = 0", format!("{place}:5: invalid value: integer `0`, expected a nonzero usize")),
        (
            "[rebuild]\non_failure = \"skip\"",
            format!("{place}:5: unknown variant `skip`, expected `stop` or `quarantine`"),
        ),
        (
            "[rebuild]\nmemry = 1",
            format!(
                "{place}:5: unknown field `memry`, expected one of `memory`, `workers`, `on_failure`, `folder`, `save_every`\nhint: did you mean `memory`?"
            ),
        ),
        (
            "[projections]\nfoldr = \"x\"",
            format!("{place}:5: unknown field `foldr`, expected `folder`\nhint: did you mean `folder`?"),
        ),
        (
            "[read_models]\nstore = \"sqllite\"",
            format!(
                "{place}:5: [read_models]: there is no store `sqllite` (one of {})\nhint: did you mean `sqlite`?",
                eventlift::stores::KINDS.join(", ")
            ),
        ),
        (
            "[read_models]\nstore = \"sqlite\"\npth = \"x\"",
            format!("{place}:6: [read_models]: unknown field `pth`, expected `path`\nhint: did you mean `path`?"),
        ),
    ] {
        is_wrong(rest, &message);
    }
}

#[test]
fn everything_has_a_default_and_can_be_set() {
    let plain = Project::parse(Path::new("shop"), SOURCE).unwrap();
    assert_eq!((&plain.target, &plain.read_models, plain.schedules.len()), (&None, &None, 0));
    assert_eq!(plain.rebuild.folder, Path::new("shop/.eventlift/rebuild"));
    assert_eq!(plain.rebuild.memory_bytes, 112 << 20);

    let text = format!(
        "{SOURCE}[read_models]\nstore = \"sqlite\"\npath = \"read_models.db\"\n\
         [rebuild]\nmemory = \"1 GiB\"\nworkers = 3\non_failure = \"quarantine\"\nfolder = \"/big\"\nsave_every = \"2m\"\n\
         [schedule.nightly]\ncron = \"0 2 * * *\"\ntime_zone = \"Europe/Berlin\"\nrebuild = [\"customers\", \"orders\"]\n\
         [schedule.often]\ncron = \"*/5 * * * *\"\nupdate = \"all\"\n"
    );
    let project = Project::parse(Path::new("shop"), &text).unwrap();
    assert_eq!(project.require_read_models().unwrap().local_file(), Some(Path::new("shop/read_models.db")));
    let options = project.rebuild.fold_options();
    assert_eq!(
        (options.memory_bytes, options.workers.get(), options.on_failure),
        (1 << 30, 3, FailurePolicy::Quarantine)
    );
    assert_eq!((options.folder.as_deref(), options.save_every), (Some(Path::new("/big")), Duration::from_secs(120)));
    let tasks: Vec<&Task> = project.schedules.iter().map(|schedule| schedule.task()).collect();
    assert_eq!(tasks, [&Task::Rebuild(vec!["customers".to_owned(), "orders".to_owned()]), &Task::UpdateAll]);
    let named: Vec<_> = project.scheduled_projections().collect();
    assert_eq!(named, [("nightly", "customers"), ("nightly", "orders")]);
    assert_eq!(project.schedules[0].times(), "0 2 * * * Europe/Berlin");
}

const NO_TARGET: &str = "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n";

#[test]
fn a_project_without_a_target_says_so_where_it_needs_one() {
    let project = project::Project::new(NO_TARGET);
    let event = "{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"urn:test\",\"type\":\"UserCreated\",\"subject\":\"user-1\",\
                 \"time\":\"2024-05-01T12:00:00Z\",\"sequence\":1,\"streamrevision\":0,\"data\":{}}\n";
    project.write("events.ndjson", event);
    let message = "error: failed to read PROJECT/eventlift.toml: there is no [target]\n\
                   hint: name the store that lifted events are written to; only read models can be built without one";
    for command in ["migrate", "verify", "status", "runs"] {
        project.run(command, [] as [&str; 0]).fails(3, message);
    }
    project.run("check", [] as [&str; 0]).succeeds();
    let plan = project.run("plan", [] as [&str; 0]);
    assert_eq!(plan.code, Some(3), "{}", plan.stderr);
    assert!(
        plan.stdout.contains("→ no target\n") && plan.stdout.contains("eventlift.toml has no [target]"),
        "{}",
        plan.stdout
    );
}

#[test]
fn projections_are_read_like_transformers() {
    let project = project::Project::new(NO_TARGET);
    let load = || Project::load(project.folder()).unwrap();
    assert_eq!(load().projections().unwrap(), []);
    project.write("projections/sales/orders.toml", "orders").write("projections/customers.toml", "customers");
    project.write("projections/notes.json", "{}").write("projections/read.me", "");
    let names = |found: Vec<(std::path::PathBuf, String)>| -> Vec<String> {
        found.into_iter().map(|(path, text)| format!("{} {text}", path.display())).collect()
    };
    let expected = ["projections/customers.toml customers", "projections/sales/orders.toml orders"];
    assert_eq!(names(load().projections().unwrap()), expected);
    project.write("eventlift.toml", format!("{NO_TARGET}[projections]\nfolder = \"models\"\n"));
    let error = load().projections().unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("correct `folder` under [projections] in eventlift.toml"));
    assert!(error.to_string().ends_with("models: it does not exist"), "{error}");
}

#[test]
fn what_editors_and_systems_leave_among_definitions_is_left_alone() {
    let project = project::Project::new(NO_TARGET);
    project.write("transformers/a.toml", "type = 'A'\ncurrent = 1\n");
    let write = |name: &str| {
        let path = project.path("transformers").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"\x00\x05\x16\x07\x00\x02Mac OS X\xff").unwrap();
    };
    for stray in
        ["._a.toml", ".DS_Store", "a.toml~", "#a.toml#", ".a.toml.swp", ".AppleDouble/a.toml", "__MACOSX/._a.toml"]
    {
        write(stray);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("ada@host.1234:1", project.path("transformers").join(".#a.toml")).unwrap();
    let names = |project: &project::Project| -> Vec<String> {
        let found = Project::load(project.folder()).unwrap().definitions().unwrap();
        found.into_iter().map(|(path, _)| path.display().to_string()).collect()
    };
    assert_eq!(names(&project), ["transformers/a.toml"]);
    project.run("check", [] as [&str; 0]).succeeds();

    // What is in capitals, or hidden by its author, is no less a definition.
    project.write("transformers/B.TOML", "type = 'B'\ncurrent = 1\n");
    project.write("transformers/.c.toml", "type = 'C'\ncurrent = 1\n[schema]\n1 = 'C.1.JSON'\n");
    project.write("transformers/C.1.JSON", "{}");
    let expected = ["transformers/.c.toml", "transformers/B.TOML", "transformers/C.1.JSON", "transformers/a.toml"];
    assert_eq!(names(&project), expected);
    let check = project.run("check", [] as [&str; 0]);
    if cfg!(feature = "schema") {
        assert_eq!(check.code, Some(0), "{}", check.stderr);
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_named_with_its_line() {
    let project = project::Project::new(NO_TARGET);
    project.write("transformers/a.toml", "type = 'A'\ncurrent = 1\n");
    let latin = project.path("transformers").join("b.toml");
    std::fs::write(&latin, b"type = \"B\"\ncurrent = 1\n# Stra\xdfe\n").unwrap();
    let message = "error: failed to read PROJECT/transformers/b.toml:3: it is not UTF-8: there is the byte 0xdf\n\
                   hint: save it in UTF-8: it may be in Latin-1 or UTF-16, or no text at all";
    project.run("check", [] as [&str; 0]).fails(3, message);
    std::fs::remove_file(latin).unwrap();
    std::fs::write(project.path("eventlift.toml"), b"\xff\xfe[\0s\0").unwrap();
    let check = project.run("check", [] as [&str; 0]);
    assert!(check.stderr.contains("eventlift.toml:1: it is not UTF-8"), "{}", check.stderr);
}

#[cfg(unix)]
#[test]
fn a_link_among_definitions_that_leads_nowhere_is_named() {
    for link in ["b.toml", "more"] {
        let project = project::Project::new(NO_TARGET);
        project.write("transformers/a.toml", "type = 'A'\ncurrent = 1\n");
        std::os::unix::fs::symlink("../nowhere", project.path("transformers").join(link)).unwrap();
        let message = format!(
            "error: failed to read PROJECT/transformers/{link}: it is a link to ../nowhere, which is not there\n\
             hint: remove the link, or put back what it leads to"
        );
        project.run("check", [] as [&str; 0]).fails(3, &message);
    }
}

#[test]
fn settings_that_no_event_and_no_number_fits_are_refused() {
    for (text, expected) in [
        ("[checks]\nfirst_types = { 'user-1' = ['A'] }\n", "the category \"user-1\" holds a `-`"),
        ("[checks]\nfirst_types = { user = [] }\n", "it names no type"),
        (
            "[[check]]\nname = 'n'\nwhen = 'after'\non = 'target'\nsql = 'SELECT 1'\nexpect = { at_least = 3, at_most = 2 }\n",
            "no number is at least 3 and at most 2",
        ),
        (
            "[[check]]\nname = 'n'\nwhen = 'after'\non = 'target'\nsql = 'SELECT 1'\nexpect = nan\n",
            "no number equals nan",
        ),
    ] {
        let error = Project::parse(Path::new("shop"), &format!("{NO_TARGET}{text}")).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}
