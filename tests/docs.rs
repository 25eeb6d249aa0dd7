//! What the documentation shows is run: shell blocks by a shell, queries by SQLite, definitions by their test cases.
//!
//! In README.md, examples/shop/README.md and docs/*.md,
//!
//! - ```` ```sh ```` blocks are run in order, in a fresh folder that holds a copy of `examples/`, with `eventlift` on the
//!   path; `cargo run --release --` stands for `eventlift`; lines that get the program (`git clone`, `cargo install`,
//!   `cargo xtask`, `cd eventlift`) are left out; ```` ```sh ignore ```` blocks are not run;
//! - ```` ```sql ```` blocks are run in between, against `examples/shop/shop.db`; every query has to yield a row;
//! - ```` ```sql postgres ```` blocks are run by `tests/postgres/docs.rs`, where there is a server;
//! - ```` ```toml ```` blocks are definitions, which have to pass the test cases that they hold (a line
//!   `# transformers/…` begins another file), or (parts of) an `eventlift.toml`;
//! - links into the repository have to lead to a file, and to a heading where they name one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use eventlift::commands::ExitCode;
use eventlift::config::Project;
use eventlift_transformers::{Definitions, JqFilter, Keys, Operation, Registry};
use tempfile::TempDir;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page of the documentation.
pub(crate) struct Page {
    path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// What stands behind the fence.
    pub(crate) kind: String,
    /// The line of the fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Page {
    fn read(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        let text = fs::read_to_string(repository().join(&path)).ok()?;
        Some(Self { path, text })
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(kind)) => {
                    open = Some(Block { kind: kind.trim().to_owned(), line: index + 1, text: String::new() });
                }
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.path.display());
        blocks
    }

    /// The lines outside of blocks, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_block = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let is_fence = line.trim_start().starts_with("```");
            in_block ^= is_fence;
            (!in_block && !is_fence).then_some((index + 1, line))
        })
    }

    pub(crate) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::from_iter(Page::read("README.md"));
    pages.extend(Page::read("examples/shop/README.md"));
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let mut names: Vec<_> = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    pages.extend(
        names.iter().filter(|name| name.ends_with(".md")).filter_map(|name| Page::read(format!("docs/{name}"))),
    );
    assert!(pages.len() >= 4, "{} pages", pages.len());
    pages
}

pub(crate) fn page(path: &str) -> Page {
    Page::read(path).unwrap_or_else(|| panic!("{path} can't be read"))
}

/// A folder with a copy of the examples, without what somebody's run has left.
fn folder_with_examples() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&repository().join("examples"), &folder.path().join("examples"));
    folder
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap();
        if path.is_dir() {
            copy_folder(&path, &to.join(name));
        } else if !name.to_str().unwrap().starts_with("shop.db") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A line as the shell is to run it: nothing where it gets the program, which is there already.
fn command(line: &str) -> String {
    const GETS_THE_PROGRAM: [&str; 4] = ["git clone", "cargo install", "cargo xtask", "cd eventlift"];
    if GETS_THE_PROGRAM.iter().any(|start| line.trim_start().starts_with(start)) {
        return String::new();
    }
    line.replace("cargo run --release -- ", "eventlift ")
}

fn run_shell(page: &Page, block: &Block, folder: &Path) -> Result<(), String> {
    let program = Path::new(env!("CARGO_BIN_EXE_eventlift")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(program.to_owned()).chain(std::env::split_paths(&path));
    let script: Vec<String> = block.text.lines().map(command).collect();
    let output = Command::new("sh")
        .args(["-exc", &script.join("\n")])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("PS4", TRACE)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return compare_exit_codes(page, block, &stdout);
    }
    let line = block.line + last_traced(&script, &stderr);
    Err(format!("{}: {}\n{stdout}\n{stderr}", page.place(line), output.status))
}

/// Compares the exit codes that were printed with those in the comments: `… || echo "exit code $?"   # 5: refused`.
fn compare_exit_codes(page: &Page, block: &Block, stdout: &str) -> Result<(), String> {
    const PRINTS: &str = "echo \"exit code $?\"";
    let comments =
        block.text.lines().filter_map(|line| Some(line.split_once(PRINTS)?.1.trim_start_matches(['#', ' '])));
    let expected: Vec<&str> = comments.map(|comment| comment.split([':', ',', ' ']).next().unwrap_or("")).collect();
    let printed: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("exit code ")).collect();
    if printed == expected {
        return Ok(());
    }
    Err(format!("{}: the exit codes are {printed:?}, not {expected:?}", page.place(block.line)))
}

/// What the shell puts before each command that it is about to run.
const TRACE: &str = "@@ ";

/// Which line of a script, from 1, the shell began last; 0 where that isn't certain.
fn last_traced(script: &[String], stderr: &str) -> usize {
    let unquoted = |text: &str| text.replace(['\'', '"'], "");
    let Some(traced) = stderr.lines().filter_map(|line| line.strip_prefix(TRACE)).next_back() else { return 0 };
    let traced = unquoted(traced);
    script.iter().rposition(|line| unquoted(line).contains(&traced)).map_or(0, |index| index + 1)
}

/// Runs the statements of a block; those that yield nothing are named.
fn run_sql(page: &Page, block: &Block, folder: &Path) -> Result<(), String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", page.place(block.line));
    let database = rusqlite::Connection::open(folder.join("examples/shop/shop.db")).map_err(|e| failed(&e))?;
    for query in block.text.split_inclusive(';').filter(|query| !query.trim().is_empty()) {
        let mut statement = database.prepare(query).map_err(|e| failed(&e))?;
        let mut rows = statement.query([]).map_err(|e| failed(&e))?;
        if rows.next().map_err(|e| failed(&e))?.is_none() {
            return Err(failed(&format_args!("no row for {}", query.trim())));
        }
    }
    Ok(())
}

#[test]
fn every_command_and_query_works() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for page in pages() {
        let folder = folder_with_examples();
        for block in page.blocks() {
            let outcome = match &*block.kind {
                "sh" => run_shell(&page, &block, folder.path()),
                "sql" => run_sql(&page, &block, folder.path()),
                _ => continue,
            };
            ran += 1;
            if let Err(failure) = outcome {
                // What follows may only fail because this did.
                wrong.push(failure);
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= 10, "only {ran} blocks were run");
}

#[test]
fn a_command_that_fails_is_named_with_its_line() {
    let page = Page { path: "a.md".into(), text: "\n```sh\ntrue\neventlift check nowhere\n```\n".to_owned() };
    let failure = run_shell(&page, &page.blocks()[0], folder_with_examples().path()).unwrap_err();
    assert!(failure.starts_with("a.md:4: ") && failure.contains("nowhere/eventlift.toml"), "{failure}");
    let text = "```sh\neventlift check nowhere || echo \"exit code $?\"   # 4: no\n```\n".to_owned();
    let code = Page { path: "a.md".into(), text };
    let failure = run_shell(&code, &code.blocks()[0], folder_with_examples().path()).unwrap_err();
    assert_eq!(failure, "a.md:1: the exit codes are [\"3\"], not [\"4\"]");
    let sql = Page { path: "a.md".into(), text: "```sql\nSELECT 1;\nSELECT 1 WHERE 0;\n```\n".to_owned() };
    let failure = run_sql(&sql, &sql.blocks()[0], folder_with_examples().path()).unwrap_err();
    assert_eq!(failure, "a.md:1: no row for SELECT 1 WHERE 0;");
}

/// The files of a block: what follows a line `# transformers/…` is the file of that name.
fn files_of(block: &Block) -> Vec<(PathBuf, String)> {
    let mut files = vec![(PathBuf::from("transformers/example.toml"), String::new())];
    for line in block.text.lines() {
        match line.strip_prefix("# ").filter(|name| name.starts_with("transformers/") && !name.contains(' ')) {
            Some(name) => files.push((PathBuf::from(name), String::new())),
            None => files.last_mut().unwrap().1.push_str(&format!("{line}\n")),
        }
    }
    files.retain(|(_, text)| !text.trim().is_empty());
    files
}

/// Compiles definitions and runs their test cases. How many there were.
fn run_definitions(files: Vec<(PathBuf, String)>) -> Result<usize, String> {
    let is_about_the_way_back = files.iter().any(|(_, text)| text.contains("\ndown = "));
    let mut keys = Keys::new();
    keys.insert("people", "a secret");
    let definitions = Definitions::load(files, &keys).map_err(|errors| errors.to_string())?;
    let registry = definitions.register(Registry::builder()).build().map_err(|errors| errors.to_string())?;
    let mut results = definitions.test(&registry);
    if is_about_the_way_back {
        let inverse = registry.inverse().map_err(|missing| missing.to_string())?;
        results.extend(definitions.test_there_and_back(&registry, &inverse));
    }
    let failed: Vec<String> = results.iter().filter(|result| !result.passed()).map(ToString::to_string).collect();
    if failed.is_empty() { Ok(results.len()) } else { Err(failed.join("\n")) }
}

/// The same with the definition of a projection or an aggregate, whose file the first line names.
fn run_folds(block: &Block) -> Result<usize, String> {
    let path = block.text.lines().next().unwrap_or_default().trim_start_matches("# ");
    let file = (PathBuf::from(path), block.text.clone());
    let definitions = eventlift::projections::Definitions::load([file]).map_err(|errors| errors.to_string())?;
    let results = definitions.test();
    let failed: Vec<String> = results.iter().filter(|result| !result.passed()).map(ToString::to_string).collect();
    if failed.is_empty() { Ok(results.len()) } else { Err(failed.join("\n")) }
}

/// Reads an `eventlift.toml`, whose stores may be left out.
fn read_project(place: &str, text: &str, table: &toml::Table) -> Result<(), String> {
    let mut text = text.to_owned();
    for store in ["source", "target"].into_iter().filter(|store| !table.contains_key(*store)) {
        text.push_str(&format!("\n[{store}]\nstore = \"sqlite\"\npath = \"{store}.db\"\n"));
    }
    Project::parse(Path::new(""), &text).map(|_| ()).map_err(|error| format!("{place}: {error}"))
}

#[test]
fn every_definition_passes_its_tests_and_every_project_is_one() {
    let mut wrong = Vec::new();
    let (mut cases, mut projects) = (0, 0);
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.kind == "toml") {
            let place = page.place(block.line);
            let files = files_of(&block);
            let table: toml::Table = match files[0].1.parse() {
                Ok(table) => table,
                Err(error) => {
                    wrong.push(format!("{place}: {error}"));
                    continue;
                }
            };
            if block.text.starts_with("# projections/") {
                match run_folds(&block) {
                    Ok(0) => wrong.push(format!("{place}: a fold without test cases proves nothing")),
                    Ok(found) => cases += found,
                    Err(failure) => wrong.push(format!("{place}: {failure}")),
                }
                continue;
            }
            let is_definition = ["type", "upcast", "rule", "current"].iter().any(|key| table.contains_key(*key));
            if is_definition {
                match run_definitions(files) {
                    Ok(0) => wrong.push(format!("{place}: a definition without test cases proves nothing")),
                    Ok(found) => cases += found,
                    Err(failure) => wrong.push(format!("{place}: {failure}")),
                }
            } else {
                projects += 1;
                wrong.extend(read_project(&place, &block.text, &table).err());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 50 && projects >= 2, "{cases} test cases, {projects} projects");
}

/// The anchors of a page's headings, as the usual viewers make them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        for (number, line) in page.prose() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() {
                    page.path.clone()
                } else {
                    page.path.parent().unwrap_or(Path::new("")).join(path)
                };
                let exists = repository().join(&target).exists();
                let has_anchor = || Page::read(&target).is_some_and(|page| anchors(&page).contains(anchor));
                if !exists || !anchor.is_empty() && !has_anchor() {
                    wrong.push(format!("{}: {link} leads nowhere", page.place(number)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_is_described_and_shown() {
    let page = page("docs/definitions.md");
    let definitions: String = page.blocks().into_iter().filter(|b| b.kind == "toml").map(|b| b.text).collect();
    for name in Operation::NAMES {
        assert!(page.text.contains(&format!("\n### `{name}`")), "{name} has no heading");
        assert!(definitions.contains(&format!("{{ {name} = ")), "{name} has no example");
    }
}

#[test]
fn every_exit_code_is_explained() {
    let codes: Vec<u8> = ExitCode::ALL.iter().map(|code| *code as u8).collect();
    assert_eq!(codes, (0..=11).collect::<Vec<u8>>());
    let help = fs::read_to_string(repository().join("tests/snapshots/help.snap")).unwrap();
    let page = page("docs/operating.md");
    for code in codes {
        assert!(help.lines().any(|line| line.split("  ").any(|part| part.trim() == code.to_string())), "{code}");
        assert!(page.text.contains(&format!("\n| {code} |")), "exit code {code} is not explained");
    }
}

#[test]
fn every_field_of_the_json_output_is_explained() {
    let page = page("docs/operating.md");
    let mut fields = BTreeSet::new();
    for path in fs::read_dir(repository().join("tests/snapshots")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name.ends_with("_json") {
            let text = fs::read_to_string(&path).unwrap();
            let keys = text.lines().filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\": "));
            fields.extend(keys.map(|(key, _)| key.to_owned()));
        }
    }
    assert!(fields.len() > 40, "{fields:?}");
    let missing: Vec<&String> = fields.iter().filter(|field| !page.text.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");
}

#[test]
fn what_jq_may_not_use_is_refused() {
    let page = page("docs/definitions.md");
    let paragraph = page.text.split("**Pure.**").nth(1).unwrap().split("are refused").next().unwrap();
    let names: Vec<&str> = paragraph.split('`').skip(1).step_by(2).collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        let call = if name == "strflocaltime" { "strflocaltime(\"%Y\")" } else { name };
        let refused = JqFilter::compile(call).err().unwrap_or_else(|| panic!("{name} compiles"));
        assert!(refused.hint.is_some(), "{name}: {refused}");
    }
}
