//! Every filter and form of jq's manual, run by jq and by eventlift on the same inputs.
//!
//! What comes out is the same, or eventlift fails and says why, but for the forms in differ.txt, if any is listed there.
//! Numbers are compared as jq can hold them.
#![cfg(feature = "jq")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not tests to clippy

mod compared;
mod inputs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eventlift_language::{JqFilter, JqInput};
use serde_json::Value;

/// The program of the tests' machine; an environment variable names another one.
fn jq() -> Command {
    Command::new(std::env::var_os("EVENTLIFT_TEST_JQ").unwrap_or_else(|| "jq".into()))
}

/// Whether the installed program is later than jq 1.6.
fn is_later() -> bool {
    let version = jq().arg("--version").output().expect("these tests call jq: install it, apt-get install jq");
    !String::from_utf8_lossy(&version.stdout).contains("1.6")
}

/// The filters of each section.
fn forms() -> BTreeMap<String, Vec<String>> {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jq_program/forms.jq")).unwrap();
    let is_later = is_later();
    let mut forms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let "[any]" | "[text]" | "[number]" | "[pair]" = line {
            section = line.trim_matches(['[', ']']).to_owned();
            continue;
        }
        let (form, is_asked) = match line.split_once(": ") {
            Some(("later", form)) => (form, is_later),
            Some(("earlier", form)) => (form, !is_later),
            _ => (line, true),
        };
        if is_asked {
            forms.entry(section.clone()).or_default().push(form.to_owned());
        }
    }
    forms
}

/// Forms that one program of jq holds: jq refuses longer ones.
const FORMS_AT_ONCE: usize = 60;

/// How long one call of jq may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What jq makes of every input: for each, an array with one `{v: […]}` or `{e: …}` for each form.
fn by_jq(forms: &[&str], inputs: &[String]) -> Vec<Vec<Value>> {
    let mut results = vec![Vec::new(); inputs.len()];
    for forms in forms.chunks(FORMS_AT_ONCE) {
        for (all, some) in results.iter_mut().zip(by_one_call_of_jq(forms, inputs)) {
            all.extend(some);
        }
    }
    results
}

fn by_one_call_of_jq(forms: &[&str], inputs: &[String]) -> Vec<Vec<Value>> {
    let mut program = ".a as $a | .b as $b | .x | [\n".to_owned();
    for (i, form) in forms.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        writeln!(program, "{comma} ([try {{v: [{form}\n]}} catch {{e: .}}] | .[0])").unwrap();
    }
    program.push(']');
    let mut file = tempfile();
    file.1.write_all(program.as_bytes()).unwrap();
    let mut jq = jq();
    jq.arg("-c").arg("-f").arg(&file.0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = jq.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = inputs.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let (stdout, stderr) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let started = Instant::now();
    let mut status = None;
    while status.is_none() && started.elapsed() < PATIENCE {
        status = child.try_wait().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    if status.is_none() {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    drop(writer.join().unwrap());
    std::fs::remove_file(&file.0).unwrap();
    let lines = stdout.join().unwrap();
    let results: Vec<Vec<Value>> = lines.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    assert!(
        status.is_some_and(|status| status.success()) && results.len() == inputs.len(),
        "jq {} after {} of {} inputs, at {:?}, with the forms {forms:#?}: {}",
        if status.is_some() { "stopped" } else { "hung" },
        results.len(),
        inputs.len(),
        inputs.get(results.len()),
        stderr.join().unwrap()
    );
    results
}

fn reader(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("eventlift-jq-{}-{}.jq", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::create(&path).unwrap();
    (path, file)
}

fn by_eventlift(filter: &JqFilter, input: &str) -> Result<Value, String> {
    let input: BTreeMap<&str, Box<serde_json::value::RawValue>> = serde_json::from_str(input).unwrap();
    let inputs: Vec<(&str, JqInput<'_>)> = input.iter().map(|(key, raw)| (*key, JqInput::Json(raw.get()))).collect();
    let results = filter.evaluate(&inputs, 1).map_err(|reason| reason.to_string())?;
    Ok(serde_json::from_str(&results[0]).unwrap())
}

#[test]
fn what_jq_yields_is_what_eventlift_yields() {
    let mut differences: BTreeMap<String, String> = BTreeMap::new();
    let mut compared = 0;
    for (section, forms) in forms() {
        let inputs = inputs::of(&section);
        let mut filters = Vec::new();
        for form in &forms {
            // On the line that it has in jq's program, which `$__loc__` sees.
            let lines = "\n".repeat(1 + 2 * (filters.len() % FORMS_AT_ONCE));
            match JqFilter::compile(&format!("{lines}.a as $a | .b as $b | .x | [{form}\n]")) {
                Ok(filter) => filters.push((form.as_str(), filter)),
                Err(error) if error.message.contains("is refused") || error.message.contains("eventlift has not") => {}
                Err(error) => {
                    differences.insert(form.clone(), format!("    does not compile: {error}\n"));
                }
            }
        }
        let names: Vec<&str> = filters.iter().map(|(form, _)| *form).collect();
        let results = by_jq(&names, &inputs);
        for (at, (form, filter)) in filters.iter().enumerate() {
            let mut examples = Vec::new();
            for (input, expected) in inputs.iter().zip(&results) {
                let expected = &expected[at];
                let found = by_eventlift(filter, input);
                compared += 1;
                if !compared::agree(form, expected, &found) {
                    examples.push(format!("    {input}\n      jq: {expected}\n      eventlift: {found:?}\n"));
                }
            }
            if !examples.is_empty() {
                let shown: String = examples.iter().take(3).map(String::as_str).collect();
                let shown = format!("    {} of {}\n{shown}", examples.len(), inputs.len());
                differences.entry((*form).to_owned()).or_default().push_str(&shown);
            }
        }
    }
    assert!(compared > 10_000, "{compared} results were compared");
    compare_with_what_is_known(&differences);
}

/// Where the forms are that are known to differ: what is listed is to be mended, and nothing may come to it unseen.
const DIFFER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jq_program/differ.txt");

fn compare_with_what_is_known(differences: &BTreeMap<String, String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let forms: String = differences.keys().map(|form| format!("{form}\n")).collect();
        return std::fs::write(DIFFER, forms).unwrap();
    }
    let known = std::fs::read_to_string(DIFFER).unwrap();
    let known: Vec<&str> = known.lines().collect();
    let mut problems = String::new();
    for (form, examples) in differences.iter().filter(|(form, _)| !known.contains(&form.as_str())) {
        writeln!(problems, "{form}\n{examples}").unwrap();
    }
    // Later versions of jq mended some.
    for form in known.iter().filter(|form| !is_later() && !differences.contains_key(**form)) {
        writeln!(problems, "{form}\n    is listed in differ.txt, and does not differ").unwrap();
    }
    assert!(problems.is_empty(), "{problems}");
}

/// The names and numbers of arguments of everything that jq has built in.
fn builtins() -> Vec<(String, usize)> {
    let output = jq().args(["-n", "[builtins] | flatten"]).output().unwrap();
    let names: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    let split = |name: &String| {
        let (name, arity) = name.split_once('/').unwrap();
        (name.to_owned(), arity.parse().unwrap())
    };
    names.iter().map(split).filter(|(name, _)| !name.starts_with('_')).collect()
}

#[test]
fn every_filter_of_jq_is_there_or_named() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/definitions.md")).unwrap();
    let builtins = builtins();
    assert!(builtins.len() > 150, "{builtins:?}");
    let mut left_out = Vec::new();
    for (name, arity) in builtins {
        let args = vec!["."; arity].join("; ");
        let source = if arity == 0 { name.clone() } else { format!("{name}({args})") };
        let Err(error) = JqFilter::compile(&source) else { continue };
        let is_named = error.message.contains("is refused") || error.message.contains("eventlift has not");
        if !is_named || error.hint.is_none() || !table.contains(&format!("`{name}`")) {
            left_out.push(format!("{source}: {error}"));
        }
    }
    assert!(left_out.is_empty(), "neither there nor named, or not in docs/definitions.md: {left_out:#?}");
}
