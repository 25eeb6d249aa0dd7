//! Definition files: what they do, and the messages about what is wrong with them.
//!
//! With `UPDATE_GOLDEN=1` the messages are written instead of compared; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use eventlift_projections::{ColumnType, Definitions};

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
    for key in ["clear = [", "delete = true", "each = \"", "when = {", "missing = \"skip\"", "missing = \"fail\""] {
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
