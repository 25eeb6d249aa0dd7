//! The history of a git repository, migrated and folded into read models, against a computation in another language.

mod built;
mod log;
mod made_up;
mod script;
mod tables;

use std::path::Path;

use crate::project::Project;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/history/project");

/// The project of `tests/history/project`, with these settings behind its `eventlift.toml`, and no events yet.
fn project(settings: &str) -> Project {
    let project = Project::new(&eventlift_toml(settings));
    for definitions in ["transformers", "projections"] {
        for file in std::fs::read_dir(Path::new(FOLDER).join(definitions)).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            project.write(&format!("{definitions}/{name}"), std::fs::read(file.path()).unwrap());
        }
    }
    project
}

fn eventlift_toml(settings: &str) -> String {
    let toml = std::fs::read_to_string(Path::new(FOLDER).join("eventlift.toml")).unwrap();
    format!("{toml}\n{settings}\n")
}

/// So many lines of a log, as a file holds them.
fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}
