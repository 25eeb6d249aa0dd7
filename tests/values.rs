//! Values of events are in no message, unless somebody asks for them.

use crate::project::{FILE_TO_SQLITE, Output, Project};

const SECRET: &str = "ada.lovelace@example.org";

/// Steps that fail on the value, or quote it, with what is said of it in its place.
const STEPS: [(&str, &str); 10] = [
    (r#"data = [{ parse = "/email", to = "integer" }]"#, "a text of 24 characters"),
    (r#"data = [{ map = "/email", values = { a = "b" } }]"#, "a text of 24 characters"),
    (r#"data = [{ split = "/email", on = " ", into = ["/a", "/b"] }]"#, "a text of 24 characters"),
    (
        r#"data = [{ extract = "/email", pattern = "{a}#{b}", into = { a = "/a", b = "/b" } }]"#,
        "a text of 24 characters",
    ),
    (r#"data = [{ date = "/email", from = "rfc3339", to = "unix_millis" }]"#, "a text of 24 characters"),
    (r#"jq = ".email | tonumber""#, "cannot be parsed as a number"),
    (r#"jq = ".email - 1""#, "a text of 24 characters"),
    (r#"jq = "error(\"\\(.email) is not known\")""#, "the jq filter ended with a text of 37 characters"),
    (r#"jq = "try (.email - 1) catch error(.)""#, "the jq filter ended with a text of "),
    (r#"jq = "error(\"the author's own words\")""#, "the author's own words"),
];

fn project(step: &str) -> Project {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[policy]\nfailed_events = \"quarantine\"\n"));
    let line = |number: u64, email: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"e-{number}","source":"/s","type":"UserCreated","subject":"user-{number}","time":"2024-05-01T12:00:00Z","streamrevision":0,"schemaversion":1,"sequence":"{number}","data":{{"id":{number},"email":{email:?}}}}}"#
        )
    };
    project.write("events.ndjson", format!("{}\n{}\n", line(1, SECRET), line(2, SECRET)));
    project.write(
        "transformers/user_created.toml",
        format!("type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\n{step}\n"),
    );
    project
}

fn all_said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn a_rule_that_fails_tells_no_value() {
    for (step, told) in STEPS {
        let project = project(step);
        let shown = project.run("plan", ["--show-values"]);
        assert!(shown.stdout.contains(SECRET) || step.contains("own words"), "{step}: {shown:?}");
        let plan = project.run("plan", [] as [&str; 0]);
        let migrated = project.migrate();
        let mut said = vec![plan, migrated];
        for arguments in
            [vec!["list"], vec!["list", "--json"], vec!["show", "user-1"], vec!["show", "user-1", "--json"]]
        {
            said.push(quarantine(&project, &arguments));
        }
        said.push(project.run("runs", ["export"]));
        said.push(project.run("status", ["--json"]));
        for output in &said {
            assert!(!all_said(output).contains(SECRET), "{step}: {output:?}");
        }
        assert!(said[0].stdout.contains(told), "{step}: {:?}", said[0]);
        assert!(said[2].stdout.contains(told), "{step}: {:?}", said[2]);
        let has_hidden = all_said(&said[1]).contains("--show-values");
        assert_eq!(has_hidden, !step.contains("own words"), "{step}: {:?}", said[1]);
    }
}

fn quarantine(project: &Project, arguments: &[&str]) -> Output {
    let (what, rest) = arguments.split_first().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eventlift"));
    project.output(command.args(["quarantine", what]).arg(project.folder()).args(rest))
}

#[test]
fn samples_and_differences_tell_no_value() {
    let project = project(r#"data = [{ rename = "/email", to = "/mail" }]"#);
    let planned = project.run("plan", [] as [&str; 0]).succeeds();
    assert!(!planned.contains(SECRET) && planned.contains("+   mail: a text of 24 characters"), "{planned}");
    let planned = project.run("plan", ["--json"]).succeeds();
    assert!(!planned.contains(SECRET) && planned.contains("a text of 24 characters"), "{planned}");
    let planned = project.run("plan", ["--show-values"]).succeeds();
    assert!(planned.contains(SECRET), "{planned}");
    project.migrate().succeeds();
    let target = rusqlite::Connection::open(project.path("target.db")).unwrap();
    target.execute("UPDATE events SET data = replace(data, 'ada', 'ida') WHERE position = 1", []).unwrap();
    for arguments in [&[][..], &["--json"]] {
        let verified = project.run("verify", arguments);
        assert_eq!(verified.code, Some(6));
        let said = all_said(&verified);
        assert!(!said.contains("lovelace") && said.contains("a text of 24 characters"), "{said}");
    }
    let verified = project.run("verify", ["--show-values"]);
    assert!(verified.stdout.contains("+   mail: \"ida.lovelace"), "{}", verified.stdout);
}

#[test]
fn a_fold_that_fails_tells_no_value() {
    let project = project(r#"data = []"#);
    let toml = format!("{FILE_TO_SQLITE}\n[read_models]\nstore = \"sqlite\"\npath = \"read.db\"\n");
    project.write("eventlift.toml", toml);
    for (columns, indexes, told) in [
        ("id = \"integer\", email = \"integer\"", "", "a text of 24 characters"),
        ("id = \"integer\", email = \"time\"", "", "a text of 24 characters"),
        ("id = \"integer\", email = \"numeric\"", "", "a text of 24 characters"),
        ("id = \"integer\", email = \"uuid\"", "", "a text of 24 characters"),
        (
            "id = \"integer\", email = \"text\"",
            "indexes = [{ columns = [\"email\"], unique = true }]\n",
            "a value of 24 characters",
        ),
    ] {
        project.write(
            "projections/users.toml",
            format!(
                "projection = \"users\"\n[table.users]\nkey = \"id\"\ncolumns = {{ {columns} }}\n{indexes}\n\
                 [[on]]\nevent = \"UserCreated\"\nversion = 2\nkey = \"/id\"\nset = {{ email = \"/email\" }}\n"
            ),
        );
        project.migrate();
        let rebuilt = project.run("rebuild", ["--all"]);
        assert_ne!(rebuilt.code, Some(0), "{columns}");
        let said = all_said(&rebuilt);
        assert!(!said.contains(SECRET) && said.contains(told), "{columns}: {said}");
        let shown = all_said(&project.run("rebuild", ["--all", "--show-values"]));
        assert!(shown.contains(SECRET), "{columns}: {shown}");
    }
}
