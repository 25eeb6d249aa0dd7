//! Bad input on the command line: a clear message, the documented exit code, and nothing lost.

use std::path::Path;

use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};
use rusqlite::Connection;

use crate::content::{self, assert_same};
use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Project};

/// A line of a log: the numbered event.
fn line(number: u64, event_type: &str, stream: &str, revision: u64, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"{event_type}\",\
         \"subject\":\"{stream}\",\"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{number},\
         \"streamrevision\":{revision},\"data\":{data}}}\n"
    )
}

/// A log of `UserCreated` events in two streams.
fn lines(count: u64) -> Vec<String> {
    (1..=count)
        .map(|number| {
            let (stream, revision) = (format!("user-{}", number % 2), (number - 1) / 2);
            line(number, "UserCreated", &stream, revision, &format!("{{\"name\":\"Ada {number}\"}}"))
        })
        .collect()
}

/// What a target looks like that was filled from this log without trouble.
fn undisturbed(project: &Project, log: &[u8]) -> Vec<String> {
    let calm = Project::new(&String::from_utf8(project.read("eventlift.toml")).unwrap());
    for name in ["transformers/rules.toml", "transformers/user.toml"] {
        if project.path(name).exists() {
            calm.write(name, project.read(name));
        }
    }
    calm.write("events.ndjson", log).migrate().succeeds();
    without_source(content::of_sqlite(&calm.path("target.db")))
}

/// The runs name their source by its path.
fn without_source(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !line.starts_with("eventlift_runs:"));
    lines
}

/// Repairs the source, runs again and compares with a run that was never disturbed.
fn repaired(project: &Project, log: &str) {
    let calm = undisturbed(project, log.as_bytes());
    project.write("events.ndjson", log).migrate().succeeds();
    assert_same(&calm, &without_source(content::of_sqlite(&project.path("target.db"))), "after the repair");
    project.verify().succeeds();
}

fn count(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap()
}

/// Migrates a log that is broken, and then the whole one. The target holds nothing, or the events before the break.
#[track_caller]
fn broken(log: &[u8], whole: &str, message: &str) {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", log);
    let output = project.migrate();
    assert_eq!(project.read("events.ndjson"), log);
    assert_eq!(count(&project.path("target.db")), 0, "a source that can be read twice is proved before it is written");
    repaired(&project, whole);
    output.fails(4, message);
}

#[test]
fn a_broken_line() {
    let mut log = lines(50);
    let whole = log.concat();
    log[20] = log[20].replace("\"Ada 21\"", "\"Ada 21");
    broken(
        log.concat().as_bytes(),
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 21, byte 181: the line is broken JSON: EOF while parsing a string\n\
         hint: every line must hold one whole JSON object; repair or remove this one",
    );
    log[20] = "no JSON at all\n".to_owned();
    broken(
        log.concat().as_bytes(),
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 21, byte 2: the line is broken JSON: expected ident\n\
         hint: every line must hold one whole JSON object; repair or remove this one",
    );
    log[20] = "[1]\n".to_owned();
    broken(
        log.concat().as_bytes(),
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 21, byte 1: invalid type: sequence, expected a JSON object with an event's attributes\n\
         hint: a JSON array is not JSON lines: write one object a line, for example with `jq -c '.[]'`",
    );
    log[20] = "{\"specversion\":\"1.0\"}\n".to_owned();
    broken(
        log.concat().as_bytes(),
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 21: the attribute `sequence` is missing\n\
         hint: set attributes.order to the attribute that holds the global order, or to \"none\" to go by line",
    );
    log[20] = whole.lines().nth(20).unwrap().replace("\"time\":\"2024", "\"time\":\"202x");
    log[20].push('\n');
    broken(
        log.concat().as_bytes(),
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 21, byte 101: `time`: \"202x-05-01T12:00:00Z\" is not a time such as 2024-05-01T12:00:00Z\n\
         hint: a time is RFC 3339 text with its offset, such as 2024-05-01T12:00:00.123456Z",
    );
    // The end of the last line is missing.
    broken(
        &whole.as_bytes()[..whole.len() - 5],
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 50, byte 178: the line is broken JSON: EOF while parsing a string\n\
         hint: every line must hold one whole JSON object; repair or remove this one",
    );
}

#[test]
fn bytes_that_are_no_utf8() {
    let whole = lines(50).concat();
    let mut log = whole.clone().into_bytes();
    let at = whole.find("Ada 30").unwrap();
    log[at] = 0xff;
    broken(
        &log,
        &whole,
        "error: failed to read file:PROJECT/events.ndjson at line 30, byte 174: the line is not UTF-8\n\
         hint: JSON lines are UTF-8; convert the file, for example with iconv",
    );
}

/// The same for a compressed log. How many lines come out before the break is the compressor's business.
#[track_caller]
fn cut_off(log: &[u8], whole: &str, message: &str) {
    let project = Project::new(FILE_TO_SQLITE);
    let mut output = project.write("events.ndjson", log).migrate();
    assert_eq!(count(&project.path("target.db")), 0);
    if let Some((before, after)) = output.stderr.split_once("after line ") {
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
        output.stderr = format!("{before}after line N{after}");
    }
    repaired(&project, whole);
    output.fails(4, message);
}

#[test]
fn a_compressed_file_that_is_cut_off() {
    let whole = lines(3000).concat();
    let gzip = compressed(&whole, "copy.ndjson.gz");
    let message = "error: failed to read file:PROJECT/events.ndjson: the file ends in the middle of a gzip member \
                   after line N\n\
                   hint: it was not copied or written to its end; get the whole file";
    cut_off(&gzip[..gzip.len() / 2], &whole, message);
    cut_off(&gzip[..gzip.len() - 4], &whole, message);
    let zstd = compressed(&whole, "copy.ndjson.zst");
    cut_off(&zstd[..zstd.len() / 2], &whole, &message.replace("gzip member", "zstd frame"));
    for (mut bytes, what) in [(gzip, "gzip"), (zstd, "zstd")] {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        let project = Project::new(FILE_TO_SQLITE);
        let output = project.write("events.ndjson", &bytes).migrate();
        let is_named = output.stderr.contains(what) || output.stderr.contains("at line");
        assert!(output.code == Some(4) && is_named, "{}", output.stderr);
    }
}

/// The log in one gzip member or zstd frame.
fn compressed(log: &str, name: &str) -> Vec<u8> {
    let project = Project::new(&FILE_TO_FILE.replace("target.ndjson", name));
    project.write("events.ndjson", log).migrate().succeeds();
    project.read(name)
}

#[test]
fn an_id_that_occurs_twice() {
    let whole = lines(4000);
    let mut log = whole.clone();
    log[2] = log[2].replace("\"e-3\"", "\"e-2\"");
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to prove file:PROJECT/events.ndjson: event e-2 of stream user-1 at position 3 has the id of another event (position 2)\n\
         hint: repair the source: one of the events is not what it claims to be; or, where events are copied to other streams with their ids, set `ids = \"per_stream\"` under [policy] in eventlift.toml: a copy gets an id of its own",
    );
    let mut log = whole.clone();
    log[3999] = log[3999].replace("\"e-4000\"", "\"e-2\"");
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to prove file:PROJECT/events.ndjson: event e-2 of stream user-0 at position 4000 has the id of another event (position 2)\n\
         hint: repair the source: one of the events is not what it claims to be",
    );
}

#[test]
fn a_revision_that_is_missing_or_there_twice() {
    let whole = lines(50);
    let mut log = whole.clone();
    log.remove(20);
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to read file:PROJECT/events.ndjson at line 22: stream user-1 goes on with revision 11, but 10 is next\n\
         hint: an event is missing before it; if gaps are meant to be, set revisions = \"sparse\" under [policy]",
    );
    let mut log = whole.clone();
    log[20] = log[20].replace("\"streamrevision\":10", "\"streamrevision\":9");
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to read file:PROJECT/events.ndjson at line 21: stream user-1 goes on with revision 9, but 10 is next\n\
         hint: the event is there twice, or two streams share a name",
    );
    let mut log = whole.clone();
    log[0] = log[0].replace("\"streamrevision\":0", "\"streamrevision\":1");
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to read file:PROJECT/events.ndjson at line 1: stream user-1 goes on with revision 1, but 0 is next\n\
         hint: if streams count from 1, set revision_base = 1 under [source.attributes]; else an event is missing before it, and if gaps are meant to be, set revisions = \"sparse\" under [policy]",
    );
    // The order of the lines is not that of their sequence.
    let mut log = whole.clone();
    log.swap(10, 11);
    broken(
        log.concat().as_bytes(),
        &whole.concat(),
        "error: failed to read file:PROJECT/events.ndjson at line 12: its position 11 is before the position 12 of the event before\n\
         hint: sort the file by its order attribute, or set attributes.order to \"none\" to go by line",
    );
}

#[test]
fn gaps_pass_where_the_project_says_so() {
    let mut log = lines(50);
    log.remove(20);
    let toml = FILE_TO_SQLITE.replace("events.ndjson\"", "events.ndjson\"\nrevisions = \"sparse\"");
    let project = Project::new(&toml);
    project.write("events.ndjson", log.concat()).migrate().fails(4, "error: failed to prove file:PROJECT/events.ndjson: event e-23 of stream user-1 at position 23 has revision 11, but its stream goes on with 10 (position 19)\n\
         hint: find the missing events, or accept gaps with `revisions = \"sparse\"` under [policy] in eventlift.toml");
    let project = Project::new(&format!("{toml}\n[policy]\nrevisions = \"sparse\"\n"));
    project.write("events.ndjson", log.concat()).migrate().succeeds();
    assert_eq!(count(&project.path("target.db")), 49);
    project.verify().succeeds();
}

const USER_RULE: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/name", to = "/full_name" }]
"#;

#[test]
fn types_that_nothing_names() {
    let log = lines(10).concat() + &line(11, "OrderPlaced", "order-1", 0, "{}");
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", &log).write("transformers/user.toml", USER_RULE).migrate().succeeds();
    assert_eq!(count(&project.path("target.db")), 11);
    let failing = Project::new(&format!("{FILE_TO_SQLITE}\n[policy]\nunknown_types = \"fail\"\n"));
    failing.write("events.ndjson", &log).write("transformers/user.toml", USER_RULE);
    failing.migrate().fails(
        7,
        "error: refused to run: the source holds events that no chain covers: OrderPlaced version 1 (1 event)\n\
         hint: add definitions for them, or let them pass with `unknown_types` or `unknown_versions` under [policy]",
    );
    assert_eq!(count(&failing.path("target.db")), 0);
    let plan = failing.run("plan", [] as [&str; 0]);
    assert_eq!(plan.code, Some(7), "{}", plan.stdout);
    assert!(plan.stdout.contains("OrderPlaced"), "{}", plan.stdout);
    failing.write("transformers/rules.toml", "[current]\nOrderPlaced = 1\n").migrate().succeeds();
    failing.verify().succeeds();
}

#[test]
fn versions_that_no_chain_leads_on_from() {
    let newer = line(11, "UserCreated", "user-1", 5, "{}")
        .replace("\"data\"", "\"dataschema\":\"urn:schema:UserCreated:3\",\"data\"");
    let log = lines(10).concat() + &newer;
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", &log).write("transformers/user.toml", USER_RULE);
    project.migrate().fails(
        7,
        "error: refused to run: the source holds events that no chain covers: UserCreated version 3 (1 event)\n\
         hint: add definitions for them, or let them pass with `unknown_types` or `unknown_versions` under [policy]",
    );
    let plan = project.run("plan", [] as [&str; 0]);
    assert_eq!(plan.code, Some(7), "{}", plan.stdout);
    assert!(plan.stdout.contains("UserCreated version 3"), "{}", plan.stdout);
    let passing = Project::new(&format!("{FILE_TO_SQLITE}\n[policy]\nunknown_versions = \"pass\"\n"));
    passing.write("events.ndjson", &log).write("transformers/user.toml", USER_RULE).migrate().succeeds();
    assert_eq!(count(&passing.path("target.db")), 11);
    passing.verify().succeeds();
}

#[test]
fn misspelt_keys() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", lines(3).concat());
    project.write("transformers/user.toml", USER_RULE.replace("current", "curent"));
    project.migrate().fails(
        3,
        "error: failed to read the definitions: 2 problems in the definitions\n\
         \x20 transformers/user.toml:2:8: UserCreated needs either `current` or `retired`\n\
         \x20   hint: write the version UserCreated is in now, or `retired = true` if it is not in use\n\
         \x20 transformers/user.toml:3:1: unknown key `curent` in the file of a type\n\
         \x20   hint: did you mean `current`?",
    );
    project.write("transformers/user.toml", USER_RULE.replace("rename", "renam"));
    project.migrate().fails(3, "error: failed to read the definitions: 1 problem in the definitions\n\
         \x20 transformers/user.toml:7:11: data: unknown field `renam`, expected one of `rename`, `set`, `default`, `copy`, `move`, `remove`, `join`, `split`, `extract`, `parse`, `format`, `map`, `date`, `wrap`, `unwrap`, `redact`, `hash`\n\
         \x20   hint: did you mean `rename`?");
    project.write("transformers/user.toml", "type = \"UserCreated\n");
    project.migrate().fails(
        3,
        "error: failed to read the definitions: 1 problem in the definitions\n\
         \x20 transformers/user.toml:1:20: invalid basic string, expected `\"`",
    );
    project.write("transformers/user.toml", USER_RULE);
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("[target]", "[traget]"));
    project.migrate().fails(3, "error: failed to read PROJECT/eventlift.toml:6: unknown field `traget`, expected one of `source`, `target`, `read_models`, `policy`, `quarantine`, `transformers`, `projections`, `rebuild`, `retry`, `take_over`, `cutover`, `throttle`, `reverse`, `checks`, `check`, `schedule`, `keys`\n\
         hint: did you mean `target`?");
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("path = \"target", "pth = \"target"));
    project.migrate().fails(
        3,
        "error: failed to read PROJECT/eventlift.toml:8: [target]: unknown field `pth`, expected `path`\n\
         hint: did you mean `path`?",
    );
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("\"sqlite\"", "\"sqllite\""));
    let kinds = eventlift::stores::KINDS.join(", ");
    project.migrate().fails(
        3,
        &format!(
            "error: failed to read PROJECT/eventlift.toml:7: [target]: there is no store `sqllite` (one of {kinds})\n\
         hint: did you mean `sqlite`?"
        ),
    );
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}\n[policy]\nunknown_type = \"fail\"\n"));
    project.migrate().fails(3, "error: failed to read PROJECT/eventlift.toml:11: unknown field `unknown_type`, expected one of `unknown_types`, `unknown_versions`, `revisions`, `failed_events`, `ids`\n\
         hint: did you mean `unknown_types`?");
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}\n[policy]\nunknown_types = \"stop\"\n"));
    project
        .migrate()
        .fails(3, "error: failed to read PROJECT/eventlift.toml:11: unknown variant `stop`, expected `pass` or `fail`");
    std::fs::remove_file(project.path("eventlift.toml")).unwrap();
    project.migrate().fails(
        3,
        "error: failed to read PROJECT/eventlift.toml: it does not exist\n\
         hint: name a project's folder, or make one with `eventlift init FOLDER`",
    );
    assert!(!project.path("target.db").exists());
}

/// A rule that fails on the 31st event: those before it are in, and the corrected rule goes on.
#[track_caller]
fn failing_rule(rule: &str, bad: &str, message: &str) {
    let mut log = lines(50);
    log[30] = line(31, "UserCreated", "user-1", 15, bad);
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", log.concat()).write("transformers/user.toml", rule);
    let before = project.read("events.ndjson");
    let output = project.migrate();
    assert_eq!(project.read("events.ndjson"), before);
    assert_eq!(count(&project.path("target.db")), 30, "what came before is committed");
    let plan = project.run("plan", [] as [&str; 0]);
    assert_eq!(plan.code, Some(7), "{}", plan.stdout);
    assert!(plan.stdout.contains("e-31"), "the plan names the event: {}", plan.stdout);
    repaired(&project, &lines(50).concat());
    output.fails(7, message);
}

#[test]
fn a_rule_that_fails() {
    failing_rule(
        USER_RULE,
        r#"{"nam":"Ada"}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:5): rename: /name is missing\n\
         hint: `optional = true` skips the operation where the field is missing; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
    failing_rule(
        USER_RULE,
        r#""text""#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:5): rename: the whole value is a string, not an object\n\
         hint: correct the rule or guard it with `when`; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
}

#[test]
fn a_jq_rule_that_meets_another_type() {
    let rule = "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\njq = '.name += \"!\"'\n";
    failing_rule(
        rule,
        r#"{"name":{"first":"Ada"}}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): cannot calculate an object of 15 characters + a text of 1 character\n\
         hint: correct the rule or guard it with `when`; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target\n\
         values of events are left out; --show-values shows them",
    );
    failing_rule(
        &rule.replace(".name += \"!\"", ".name = need(.name)"),
        r#"{"nam":1}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): .name is needed, but missing or null\n\
         hint: correct the rule or guard it with `when`; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
    failing_rule(
        &rule.replace(".name += \"!\"", "if .name == \"x\" then error(\"no x\") else . end"),
        r#"{"name":"x"}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): no x\n\
         hint: correct the rule or guard it with `when`; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
}

#[test]
fn a_jq_rule_that_never_ends() {
    let rule = "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\njq = 'def f: f; if .name == \"x\" then f else . end'\n";
    failing_rule(
        rule,
        r#"{"name":"x"}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): the jq filter ran away: it took more than 1000000 steps\n\
         hint: look for a recursion or a generator without an end; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
    failing_rule(
        &rule.replace("def f: f;", "def f: [f];"),
        r#"{"name":"x"}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): the jq filter ran away: it recursed deeper than 1310720 bytes of stack\n\
         hint: look for a recursion without an end, or make the recursive call the last thing that the filter does; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
    failing_rule(
        &rule.replace("def f: f;", "def f: last(range(1e12));"),
        r#"{"name":"x"}"#,
        "error: failed to transform event e-31 (UserCreated version 1, stream user-1, revision 15) by UserCreated 1 → 2 (transformers/user.toml:4): the jq filter ran away: it took more than 1000000 steps\n\
         hint: look for a recursion or a generator without an end; what came before the event is committed, so then add --accept-changes to go on, or start over with a new target",
    );
}

#[test]
fn sources_that_cannot_be_opened() {
    let project = Project::new(FILE_TO_SQLITE);
    project.migrate().fails(
        8,
        "error: failed to open file:PROJECT/events.ndjson: it does not exist\n\
         hint: check the path",
    );
    std::os::unix::fs::symlink("nowhere", project.path("events.ndjson")).unwrap();
    project.migrate().fails(
        8,
        "error: failed to open file:PROJECT/events.ndjson: it does not exist\n\
         hint: check the path",
    );
    std::fs::remove_file(project.path("events.ndjson")).unwrap();
    std::fs::create_dir(project.path("events.ndjson")).unwrap();
    project.migrate().fails(
        5,
        "error: failed to open file:PROJECT/events.ndjson: it is a directory\n\
         hint: name one file in it",
    );
    assert!(!project.path("target.db").exists());

    let project = Project::new(&SQLITE_TO_SQLITE.replace("source.db", "missing.db"));
    project.migrate().fails(
        8,
        "error: failed to open sqlite:PROJECT/missing.db: it does not exist\n\
         hint: check the path in eventlift.toml",
    );
    project.write(
        "missing.db",
        "this is a text file, and long enough to look like one, whatever is in it; really, it is long enough by now",
    );
    project.migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/missing.db: it is not a SQLite database\n\
         hint: check the path, or run `PRAGMA integrity_check` on the file",
    );
    std::fs::remove_file(project.path("missing.db")).unwrap();
    Connection::open(project.path("missing.db")).unwrap().execute_batch("CREATE TABLE customers (id)").unwrap();
    project.migrate().fails(5, "error: failed to open sqlite:PROJECT/missing.db: it is a SQLite database, but holds no events in eventlift's layout\n\
         hint: check the path in eventlift.toml; or name a table or view of it with `table` whose columns have the names of that layout");
    std::fs::remove_file(project.path("missing.db")).unwrap();
    std::fs::create_dir(project.path("missing.db")).unwrap();
    project.migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/missing.db: it is a folder, not a database file\n\
         hint: name a file in it",
    );
    assert!(!project.path("target.db").exists());
}

const SQLITE_TO_SQLITE: &str = r#"
[source]
store = "sqlite"
path = "source.db"

[target]
store = "sqlite"
path = "target.db"
"#;

#[test]
fn a_source_whose_own_load_has_not_ended() {
    let project = Project::new(FILE_TO_SQLITE);
    let rule =
        "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/n\" }]\n";
    let log = lines(20).concat() + &line(21, "UserCreated", "user-1", 10, "{}");
    project.write("events.ndjson", log).write("transformers/user.toml", rule);
    assert_eq!(project.migrate().code, Some(7));
    std::fs::rename(project.path("target.db"), project.path("source.db")).unwrap();
    project.write("eventlift.toml", SQLITE_TO_SQLITE);
    project.migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/source.db: a run into it has not ended, so it is not whole\n\
         hint: finish the run with `eventlift migrate` first",
    );
    assert!(!project.path("target.db").exists());
}

#[test]
fn a_source_file_whose_own_load_has_not_ended() {
    let to_file = FILE_TO_SQLITE.replace("\"sqlite\"", "\"file\"").replace("target.db", "lifted.ndjson");
    let project = Project::new(&to_file);
    let rule =
        "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/n\" }]\n";
    let log = lines(20).concat() + &line(21, "UserCreated", "user-1", 10, "{}");
    project.write("events.ndjson", log).write("transformers/user.toml", rule);
    assert_eq!(project.migrate().code, Some(7));
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("events.ndjson", "lifted.ndjson"));
    project.migrate().fails(
        5,
        "error: failed to open file:PROJECT/lifted.ndjson: a run into it has not ended, so it is not whole\n\
         hint: finish the run with `eventlift migrate` first",
    );
    assert!(!project.path("target.db").exists());
}

#[test]
fn a_target_that_is_the_source() {
    let log = lines(5).concat();
    for target in ["events.ndjson", "./events.ndjson", "symbolic.ndjson", "hard.ndjson"] {
        let project = Project::new(&FILE_TO_FILE.replace("target.ndjson", target));
        project.write("events.ndjson", &log);
        std::os::unix::fs::symlink("events.ndjson", project.path("symbolic.ndjson")).unwrap();
        std::fs::hard_link(project.path("events.ndjson"), project.path("hard.ndjson")).unwrap();
        project.migrate().fails(
            5,
            "error: refused to run: file:PROJECT/events.ndjson is both source and target\n\
         hint: name another target: the source is only ever read",
        );
        assert_eq!(project.read("events.ndjson"), log.as_bytes());
        assert!(!project.path("events.ndjson.eventlift").exists());
    }
    for target in ["source.db", "symbolic.db", "hard.db"] {
        let project = sqlite_source(&lines(5).concat());
        project.write("eventlift.toml", SQLITE_TO_SQLITE.replace("target.db", target));
        std::os::unix::fs::symlink("source.db", project.path("symbolic.db")).unwrap();
        std::fs::hard_link(project.path("source.db"), project.path("hard.db")).unwrap();
        let before = project.read("source.db");
        project.migrate().fails(
            5,
            "error: refused to run: sqlite:PROJECT/source.db is both source and target\n\
         hint: name another target: the source is only ever read",
        );
        assert!(project.read("source.db") == before);
    }
}

/// A project from SQLite to SQLite whose source holds this log.
fn sqlite_source(log: &str) -> Project {
    let project = Project::new(&FILE_TO_SQLITE.replace("target.db", "source.db"));
    project.write("events.ndjson", log).migrate().succeeds();
    project.write("eventlift.toml", SQLITE_TO_SQLITE);
    project
}

#[test]
fn a_target_with_events_that_the_run_did_not_write() {
    // Another run's.
    let project = sqlite_source(&lines(5).concat());
    std::fs::copy(project.path("source.db"), project.path("target.db")).unwrap();
    let before = project.read("target.db");
    project.migrate().fails(5, "error: refused to run: sqlite:PROJECT/target.db was filled from file:PROJECT/events.ndjson, not from file:PROJECT/source.db\n\
         hint: name a new target; if it is the same log in another place, add --accept-changes");
    assert!(project.read("target.db") == before);

    // One row more than its own.
    let project = sqlite_source(&lines(5).concat());
    project.migrate().succeeds();
    let insert = "INSERT INTO events (position, stream, revision, id, type, schema_version, recorded_at)
                  VALUES (99, 'x', 0, 'x', 'X', 1, 0)";
    Connection::open(project.path("target.db")).unwrap().execute(insert, []).unwrap();
    project.migrate().fails(
        5,
        "error: refused to run: sqlite:PROJECT/target.db holds events that run RUN did not write\n\
         hint: name a target that is new, or the one that the run filled",
    );
    assert_eq!(count(&project.path("target.db")), 6);
    let verify = project.verify();
    assert_eq!(verify.code, Some(6), "{}", verify.stdout);
    assert!(verify.stdout.contains("this event should not be there"), "{}", verify.stdout);

    // Events without any run.
    let project = sqlite_source(&lines(5).concat());
    drop(SqliteWriter::open(SqliteConfig::new(project.path("target.db"))).unwrap());
    Connection::open(project.path("target.db")).unwrap().execute(insert, []).unwrap();
    project.migrate().fails(
        5,
        "error: refused to run: sqlite:PROJECT/target.db holds events that no run of eventlift wrote\n\
         hint: name a target that is new, or the one that the run filled",
    );
}

#[test]
fn a_target_that_is_something_else() {
    let project = sqlite_source(&lines(5).concat());
    Connection::open(project.path("target.db")).unwrap().execute_batch("CREATE TABLE customers (id)").unwrap();
    let before = project.read("target.db");
    project.migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/target.db: it is a database of something else\n\
         hint: name a file that does not exist yet",
    );
    assert!(project.read("target.db") == before);

    let project = sqlite_source(&lines(5).concat());
    let text = "a text file that is nobody's database, and long enough to be looked into: it must not be touched";
    project.write("target.db", text).migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/target.db: it is not a SQLite database\n\
         hint: check the path, or run `PRAGMA integrity_check` on the file",
    );
    assert_eq!(project.read("target.db"), text.as_bytes());

    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", lines(5).concat()).write("target.ndjson", text).migrate().fails(
        5,
        "error: failed to open file:PROJECT/target.ndjson: it holds events that eventlift did not write\n\
         hint: name a file that does not exist yet",
    );
    assert_eq!(project.read("target.ndjson"), text.as_bytes());

    // The database beside the file belongs to another file.
    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", lines(5).concat()).migrate().succeeds();
    project.write("target.ndjson", lines(7).concat()).migrate().fails(
        5,
        "error: failed to open file:PROJECT/target.ndjson: it has 1253 bytes, but 1385 were written to it\n\
         hint: restore the file, or remove it and the .eventlift file beside it to start anew",
    );
    assert_eq!(project.read("target.ndjson"), lines(7).concat().as_bytes());
    project.write("target.ndjson", "").migrate().fails(
        5,
        "error: failed to open file:PROJECT/target.ndjson: it has 0 bytes, but 1385 were written to it\n\
         hint: restore the file, or remove it and the .eventlift file beside it to start anew",
    );

    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", lines(5).concat());
    std::fs::create_dir(project.path("target.db")).unwrap();
    project.migrate().fails(
        5,
        "error: failed to open sqlite:PROJECT/target.db: it is a folder, not a database file\n\
         hint: name a file in it",
    );
    let project = Project::new(&FILE_TO_SQLITE.replace("target.db", "no/such/folder/target.db"));
    project.write("events.ndjson", lines(5).concat()).migrate().fails(
        8,
        "error: failed to open sqlite:PROJECT/no/such/folder/target.db: it does not exist\n\
         hint: create the folder first",
    );
}

#[test]
fn rules_that_changed_since_the_run_was_started() {
    let project = Project::new(FILE_TO_SQLITE);
    let log = lines(20).concat() + &line(21, "UserCreated", "user-1", 10, "{}");
    project.write("events.ndjson", log).write("transformers/user.toml", USER_RULE);
    assert_eq!(project.migrate().code, Some(7));
    project.write("transformers/user.toml", USER_RULE.replace("/full_name", "/whole_name"));
    project.migrate().fails(5, "error: refused to run: what decides the result has changed since run RUN was started: UserCreated 1 → 2 was changed\n\
         hint: take the change back, or migrate into a new target; to go on all the same, add --accept-changes");
    project.write("transformers/user.toml", USER_RULE);
    project.write("transformers/rules.toml", "[[rule]]\nname = \"redact\"\ndata = [{ remove = \"/x\" }]\n");
    project.migrate().fails(
        5,
        "error: refused to run: what decides the result has changed since run RUN was started: redact was added\n\
         hint: take the change back, or migrate into a new target; to go on all the same, add --accept-changes",
    );
    std::fs::remove_file(project.path("transformers/rules.toml")).unwrap();
    project.write("transformers/user.toml", "type = \"UserCreated\"\ncurrent = 1\n");
    project.migrate().fails(5, "error: refused to run: what decides the result has changed since run RUN was started: UserCreated 1 → 2 was removed\n\
         hint: take the change back, or migrate into a new target; to go on all the same, add --accept-changes");
    project.write("transformers/user.toml", USER_RULE);
    project.run("migrate", ["--category", "user"]).fails(
        5,
        "error: refused to run: run RUN is about everything, not category \"user\"\n\
         hint: ask for the same --category, --stream or --type as the run, or migrate into a new target",
    );
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}\n[policy]\nunknown_types = \"fail\"\n"));
    project.migrate().fails(
        5,
        "error: refused to run: what decides the result has changed since run RUN was started: the policy was changed\n\
         hint: take the change back, or migrate into a new target; to go on all the same, add --accept-changes",
    );
    assert_eq!(count(&project.path("target.db")), 20);

    project.write("eventlift.toml", FILE_TO_SQLITE);
    project.write("transformers/user.toml", USER_RULE.replace("/full_name\"", "/whole_name\", optional = true"));
    project.run("migrate", ["--accept-changes"]).succeeds();
    assert_eq!(count(&project.path("target.db")), 21);
}

#[test]
fn rules_that_would_number_what_is_there_in_another_way() {
    let drops = "[current]\nUserCreated = 1\n[[rule]]\nname = \"drops\"\nwhen = { path = \"/name\", equals = \"x\" }\ndrop = true\n";
    let moves = "[current]\nUserCreated = 1\n[[rule]]\nname = \"moves\"\nstream = \"all\"\n";
    let changes =
        "[current]\nUserCreated = 1\n[[rule]]\nname = \"changes\"\ndata = [{ remove = \"/x\", optional = true }]\n";
    for (before, after, goes_on) in [
        (changes, drops, true),
        (changes, moves, false),
        (drops, changes, false),
        (drops, moves, false),
        (moves, drops, false),
        (moves, changes, false),
    ] {
        let project = Project::new(FILE_TO_SQLITE);
        project.write("events.ndjson", lines(20).concat()).write("transformers/rules.toml", before);
        project.migrate().succeeds();
        project.write("events.ndjson", lines(30).concat()).write("transformers/rules.toml", after);
        let output = project.run("migrate", ["--accept-changes"]);
        if goes_on {
            output.succeeds();
            continue;
        }
        output.fails(5, "error: refused to run: the rules have come to split, drop or move events, or ceased to, so what run RUN wrote to sqlite:PROJECT/target.db has other revisions than they would give\n\
         hint: migrate into a new target");
        assert_eq!(count(&project.path("target.db")), 20);
        project.write("transformers/rules.toml", before).migrate().succeeds();
        assert_eq!(count(&project.path("target.db")), 30);
        project.verify().succeeds();
    }
}

#[test]
fn another_source_for_the_same_target() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", lines(20).concat()).migrate().succeeds();
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("events.ndjson", "moved.ndjson"));
    project.write("moved.ndjson", lines(30).concat());
    project.migrate().fails(5, "error: refused to run: sqlite:PROJECT/target.db was filled from file:PROJECT/events.ndjson, not from file:PROJECT/moved.ndjson\n\
         hint: name a new target; if it is the same log in another place, add --accept-changes");
    assert_eq!(count(&project.path("target.db")), 20);
    project.run("migrate", ["--accept-changes"]).succeeds();
    assert_eq!(count(&project.path("target.db")), 30);
    project.verify().succeeds();
}

#[test]
fn a_target_that_another_run_is_writing() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", lines(20).concat());
    let held = SqliteWriter::open(SqliteConfig::new(project.path("target.db"))).unwrap();
    let mut output = project.migrate();
    output.stderr = output.stderr.replace(&std::process::id().to_string(), "N");
    output.fails(
        5,
        "error: failed to open sqlite:PROJECT/target.db: another run holds it (process N)\n\
         hint: wait until that run ends, or stop it: it can be resumed",
    );
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains("no run yet"), "{status}");
    drop(held);
    project.migrate().succeeds();

    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", lines(20).concat());
    let config = eventlift::stores::file::FileConfig::new(project.path("target.ndjson"));
    let held = eventlift::stores::file::FileWriter::open(config).unwrap();
    let mut output = project.migrate();
    output.stderr = output.stderr.replace(&std::process::id().to_string(), "N");
    output.fails(
        5,
        "error: failed to open file:PROJECT/target.ndjson: another run holds it (process N)\n\
         hint: wait until that run ends, or stop it: it can be resumed",
    );
    drop(held);
    project.migrate().succeeds();
}

#[test]
fn standard_input_as_the_source() {
    let log = lines(50);
    let project = Project::new(&FILE_TO_SQLITE.replace("events.ndjson", "-"));
    project.run_with_input("migrate", log.concat().as_bytes()).succeeds();
    assert_eq!(count(&project.path("target.db")), 50);
    project
        .run_with_input("verify", log.concat().as_bytes())
        .fails(5, "error: refused to run: standard input can't be read again to verify it");

    // What came before a broken line is in, and the whole log goes on behind it.
    let project = Project::new(&FILE_TO_SQLITE.replace("events.ndjson", "-"));
    let mut broken = log.clone();
    broken[20] = "{\n".to_owned();
    project.run_with_input("migrate", broken.concat().as_bytes()).fails(
        4,
        "error: failed to read file:- at line 21, byte 1: the line is broken JSON: EOF while parsing an object\n\
         hint: every line must hold one whole JSON object; repair or remove this one",
    );
    assert_eq!(count(&project.path("target.db")), 20);
    let mut twice = log.clone();
    twice[40] = twice[40].replace("\"e-41\"", "\"e-2\"");
    project.run_with_input("migrate", log.concat().as_bytes()).succeeds();
    let calm = undisturbed(&Project::new(FILE_TO_SQLITE), log.concat().as_bytes());
    assert_same(&calm, &without_source(content::of_sqlite(&project.path("target.db"))), "standard input");

    // Nothing proves standard input before it is written, so contradictions come out when the target is sealed.
    let project = Project::new(&FILE_TO_SQLITE.replace("events.ndjson", "-"));
    project.run_with_input("migrate", twice.concat().as_bytes()).fails(
        4,
        "error: failed to seal sqlite:PROJECT/target.db: event id e-2 occurs 2 times, at positions 2 and 41\n\
         hint: repair the source, then migrate into a new target; this one is not usable",
    );
    let project = Project::new(&FILE_TO_SQLITE.replace("events.ndjson", "-"));
    project.run_with_input("migrate", b"").succeeds();
    assert_eq!(count(&project.path("target.db")), 0);
}

#[test]
fn standard_output_as_the_target() {
    let log = lines(50).concat();
    let project = Project::new(&FILE_TO_FILE.replace("target.ndjson", "-"));
    project.write("events.ndjson", &log);
    let output = project.migrate();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    // Standard output is the log and nothing else.
    let copy = Project::new(FILE_TO_SQLITE);
    copy.write("events.ndjson", &output.stdout).migrate().succeeds();
    let calm = undisturbed(&copy, log.as_bytes());
    assert_same(&calm, &without_source(content::of_sqlite(&copy.path("target.db"))), "standard output");
    project.verify().fails(
        5,
        "error: failed to verify file:-: no run has filled it yet\n\
         hint: run `eventlift migrate` first",
    );
}
