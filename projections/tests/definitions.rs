//! Definition files: what they do, and the messages about what is wrong with them.
//!
//! With `UPDATE_GOLDEN=1` the messages are written instead of compared; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, Timestamp};
use eventlift_projections::{Changes, ColumnType, Definitions, EventView, Projection};

fn load(files: &[(&str, &str)]) -> Result<Definitions, String> {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    Definitions::load(files).map_err(|errors| errors.to_string())
}

/// The files of a folder beside this one: names and texts, sorted. Those with jq only where there is jq.
fn files(folder: &str) -> Vec<(PathBuf, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let named = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (path, name, text)
    });
    named.filter(|(_, name, _)| cfg!(feature = "jq") || !name.contains("jq")).collect()
}

#[test]
fn every_feature_does_what_its_file_says() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for (_, name, text) in files("features") {
        match load(&[(&name, &text)]) {
            Err(errors) => wrong.push(errors),
            Ok(definitions) => {
                let results = definitions.test();
                assert!(!results.is_empty(), "{name} has no test case");
                cases += results.len();
                wrong.extend(results.iter().filter(|result| !result.passed()).map(ToString::to_string));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 25, "{cases} test cases");
}

#[test]
fn every_operation_source_and_type_has_a_file() {
    let texts: String = files("features").into_iter().map(|(_, _, text)| text).collect();
    let operations = ["set", "first", "last", "add", "subtract", "min", "max", "append", "remove"];
    for operation in operations {
        let shown = [format!("\n{operation} = {{"), format!("\n[on.{operation}]")];
        assert!(shown.iter().any(|shown| texts.contains(shown)), "{operation} has no file");
    }
    let keys = ["clear = [", "delete = true", "each = \"", "when = {", "missing = \"skip\"", "missing = \"fail\""];
    for key in keys.into_iter().chain(["move_to = \"", "move_to = {", "taken = \"skip\"", "taken = \"replace\""]) {
        assert!(texts.contains(&format!("\n{key}")), "{key} has no file");
    }
    for source in ["data", "metadata", "item", "event", "value", "column"] {
        assert!(texts.contains(&format!("{{ {source} = ")), "{source} has no file");
    }
    for column_type in ColumnType::ALL {
        assert!(texts.contains(&format!("= \"{column_type}\"")), "{column_type} has no file");
    }
}

#[test]
fn every_mistake_has_its_message() {
    let mut wrong = Vec::new();
    let inputs = files("mistakes");
    assert!(inputs.len() >= 25, "{}", inputs.len());
    for (path, name, text) in inputs {
        let message = load(&[(&name, &text)]).err().unwrap_or_else(|| "nothing is wrong".to_owned()) + "\n";
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &message).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{}:\n{message}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A projection into a table, with a clause.
fn projection(name: &str, table: &str) -> String {
    format!(
        "projection = '{name}'\n[table.{table}]\nkey = 'id'\ncolumns = {{ id = 'text', n = 'integer', at = 'time' }}\n\
         [[on]]\nevent = 'A'\nversion = 1\nkey = '/id'\nadd = {{ n = '/n' }}\n"
    )
}

#[test]
fn names_and_tables_belong_to_one_definition() {
    let aggregate = "state = { n = 'integer' }\ntable = 'T'\n[[on]]\nevent = 'A'\nversion = 1\nadd = { n = 1 }\n";
    let files = [("b.toml", &*projection("x", "t")), ("a.toml", &projection("X", "u")), ("c.toml", aggregate)];
    let message = load(&files).unwrap_err();
    let expected = "2 problems in the definitions\n  \
        a.toml:1:14: the name `X` is taken by the one at b.toml:1:14\n    hint: every projection and aggregate has its own\n  \
        c.toml:2:9: the table `T` is written by `x` already, at b.toml:2:8\n    hint: a table belongs to one projection alone";
    assert_eq!(message, expected);
    let files = [("b.toml", &*projection("x", "t")), ("sub/a.toml", &aggregate.replace("'T'", "'v'"))];
    let definitions = load(&files).unwrap();
    assert_eq!(definitions.names(), ["x", "a"]);
    let tables =
        definitions.projections().iter().map(|projection| projection.tables()[0].name.clone()).collect::<Vec<_>>();
    assert_eq!(tables, ["t", "v"]);
}

#[test]
fn the_mistakes_of_all_files_come_at_once() {
    let message = load(&[("b.toml", "\nform = 'A'"), ("a.toml", "projection = ")]).unwrap_err();
    assert!(message.starts_with("4 problems in the definitions\n  a.toml:1:14: "), "{message}");
    assert!(message.contains("\n  b.toml:2:1: unknown key `form`"), "{message}");
}

#[test]
fn a_failed_test_case_says_what_differs() {
    let given = "given = [{ type = 'A', data = { id = 'a', n = 1 } }, { type = 'A', data = { id = 'b', n = 2 } }]";
    let cases = format!(
        "[[test]]\nname = 'value'\n{given}\nthen.t = [{{ id = 'a' }}, {{ id = 'b', n = 3, at = 2024-05-01T12:00:00Z }}]\n\
         [[test]]\nname = 'count'\n{given}\nthen.t = []\n\
         [[test]]\nname = 'fails'\ngiven = {{ type = 'A', data = {{}} }}\nthen.t = []\n\
         [[test]]\nname = 'does not fail'\n{given}\nfails_with = 'x'\n\
         [[test]]\nname = 'fails otherwise'\ngiven = [{{ type = 'B' }}]\nfails_with = 'x'\n\
         [[test]]\nname = 'another version'\ngiven = [{{ type = 'A', version = 2 }}]\nthen.t = []\n"
    );
    let definitions = load(&[("t.toml", &(projection("t", "t") + &cases))]).unwrap();
    let results: Vec<String> = definitions.test().iter().map(ToString::to_string).collect();
    let expected = [
        "t.toml:10: value: failed\n    t row 2, n\n      expected 3\n      actual   2\n    t row 2, at\n      expected 2024-05-01T12:00:00Z\n      actual   null",
        "t.toml:14: count: failed\n    t: expected 0 rows\n      it has 2\n        {\"id\":\"a\",\"n\":1,\"at\":null}\n        {\"id\":\"b\",\"n\":2,\"at\":null}",
        "t.toml:18: fails: failed\n    it fails: key `id`: /id is missing or null",
        "t.toml:22: does not fail: failed\n    expected it to fail",
        "t.toml:26: fails otherwise: failed\n    expected it to fail with \"x\"\n    it fails with     \"it neither folds nor ignores B\"",
        "t.toml:30: another version: failed\n    it fails: it neither folds nor ignores A version 2",
    ];
    assert_eq!(results, expected);
}

#[test]
fn a_failed_test_case_of_an_aggregate_says_what_differs() {
    let text = "aggregate = 'a'\nstate = { n = 'integer' }\n[[on]]\nevent = 'A'\nversion = 1\nadd = { n = 1 }\n\
        [[test]]\ngiven = [{ type = 'A' }, { type = 'A', stream = 'test-2' }]\n\
        then = { 'test-1' = { n = 2 }, 'test-3' = {} }\n";
    let result = load(&[("a.toml", text)]).unwrap().test()[0].to_string();
    let expected = "a.toml:7: test: failed\n    test-1, n\n      expected 2\n      actual   1\n    \
        test-3: expected a state\n      it has none\n    test-2: expected no state\n      it has {\"n\":1}";
    assert_eq!(result, expected);
}

#[test]
fn the_fingerprint_is_of_the_content() {
    let of = |text: &str| load(&[("a.toml", text)]).unwrap().projections()[0].fingerprint().to_owned();
    let base = projection("x", "t");
    let test = "[[test]]\ngiven = { type = 'A', data = { id = 'a', n = 1 } }\nthen.t = [{ n = 1 }]\n";
    let same =
        base.replace("projection = 'x'", "# a comment\nprojection = \"y\"").replace("version = 1", "version = 0x1");
    assert_eq!(of(&base), of(&(same + test)));
    for (old, new) in [
        ("'/n'", "'/m'"),
        ("add", "subtract"),
        ("[table.t]", "[table.u]"),
        ("n = 'integer', at = 'time'", "at = 'time', n = 'integer'"),
        ("'integer'", "'numeric'"),
        ("projection", "ignore = ['B']\nprojection"),
        ("projection", "from = 'a'\nprojection"),
        ("'/n' }", "{ data = '/n', default = 0 } }"),
    ] {
        assert_ne!(of(&base), of(&base.replacen(old, new, 1)), "{new}");
    }
    let summed = base.clone()
        + "[table.u]\nof = 't'\nkey = 'n'\ncolumns = { n = 'integer', k = 'integer', s = 'integer' }\ncount = 'k'\nsum = { s = 'n' }\n";
    for (old, new) in [("count = 'k'\nsum = { s = 'n' }", "count = 's'\nsum = { k = 'n' }"), ("[table.u]", "[table.v]")]
    {
        assert_ne!(of(&summed), of(&summed.replacen(old, new, 1)), "{new}");
    }
    let json = |default: &str| {
        let default = format!("key = '/id'\nset = {{ j = {{ data = '/j', default = {default} }} }}");
        of(&base.replace("at = 'time'", "j = 'json'").replace("key = '/id'", &default))
    };
    assert_ne!(json("{ a = 1, b = 2 }"), json("{ b = 2, a = 1 }"));
}

#[cfg(feature = "jq")]
#[test]
fn every_example_of_the_page_passes_its_test_cases() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/projections.md");
    // A package is tested without the pages of its repository.
    let Ok(page) = fs::read_to_string(page) else { return };
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files: Vec<(PathBuf, String)> = blocks
        .map(|block| {
            let name = block.lines().next().unwrap().strip_prefix("# ").unwrap();
            (PathBuf::from(name), block.to_owned())
        })
        .collect();
    assert!(files.len() >= 9, "{} examples", files.len());
    for file in files {
        let name = file.0.clone();
        let definitions = Definitions::load([file]).unwrap_or_else(|errors| panic!("{errors}"));
        let results = definitions.test();
        assert!(!results.is_empty(), "{} has no test case", name.display());
        let failed: Vec<String> = results.iter().filter(|result| !result.passed()).map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

#[cfg(not(feature = "jq"))]
#[test]
fn without_jq_a_filter_is_a_problem() {
    let text = projection("x", "t").replace("n = '/n'", "n = { jq = '.event.data.n' }");
    let expected =
        "1 problem in the definitions\n  t.toml:9:20: `jq`: this build has no jq\n    hint: build with feature `jq`";
    assert_eq!(load(&[("t.toml", &text)]).unwrap_err(), expected);
}

/// How much white space is left in a value must not depend on who else has looked into it.
#[test]
fn a_json_column_is_the_same_whoever_looked_before() {
    let whole = "[table.whole]\nkey = 'id'\ncolumns = { id = 'text', payment = 'json' }\n\
                 [[on]]\nevent = 'Paid'\nversion = 1\nkey = '/id'\nset = { payment = '/payment' }\n";
    let part = "[table.part]\nkey = 'id'\ncolumns = { id = 'text', cents = 'integer' }\n\
                [[on]]\nevent = 'Paid'\nversion = 1\nkey = '/id'\nset = { cents = '/payment/cents' }\n";
    let load = |name: &str, text: &str| {
        let definitions = Definitions::load([(format!("{name}.toml").into(), text.to_owned())]).unwrap();
        definitions.projections().remove(0)
    };
    let (whole, part) = (load("whole", whole), load("part", part));
    let event = Event {
        id: EventId::text("1").unwrap(),
        stream: "payment-1".parse().unwrap(),
        revision: Revision(0),
        position: Position::new(1),
        event_type: EventType::new("Paid").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json("{\"id\": \"a\", \"payment\": { \"cents\" : 5, \"by\": [ 1 , \"a  b\" ] }}"),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    };
    let row_of = |before: Option<&dyn Projection>| {
        let mut view = EventView::new(&event);
        let mut changes = Changes::new();
        if let Some(before) = before {
            before.project(&mut view, &mut changes).unwrap();
            changes.truncate(0);
        }
        whole.project(&mut view, &mut changes).unwrap();
        let mut row = None;
        for change in changes.drain() {
            change.make(&event, &mut row).unwrap();
        }
        row.unwrap().0[1].json().unwrap()
    };
    assert_eq!(&*row_of(None), r#"{"cents":5,"by":[1,"a  b"]}"#);
    assert_eq!(row_of(Some(&*part)), row_of(None));
    assert_eq!(row_of(Some(&*whole)), row_of(None));
}
