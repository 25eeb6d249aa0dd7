//! The history of a git repository, migrated and folded into read models, against a computation in another language.

mod built;
mod log;
mod made_up;
mod script;
mod tables;

use std::path::Path;

use crate::project::Project;

/// The project of `tests/history/project`, with these settings behind its `eventlift.toml`, and no events yet.
fn project(settings: &str) -> Project {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history/project");
    let toml = std::fs::read_to_string(folder.join("eventlift.toml")).unwrap();
    let project = Project::new(&format!("{toml}\n{settings}"));
    for definitions in ["transformers", "projections"] {
        for file in std::fs::read_dir(folder.join(definitions)).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            project.write(&format!("{definitions}/{name}"), std::fs::read(file.path()).unwrap());
        }
    }
    project
}

/// So many lines of a log, as a file holds them.
fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}
