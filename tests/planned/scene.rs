//! A made-up project: a log in a file, rules of every shape, policies; and the plan of it beside its migration.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use crate::project::Project;

/// What a project is made of.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) log: Vec<Logged>,
    rules: Vec<Does>,
    quarantines: bool,
    unknown_fail: bool,
    sparse: bool,
    scope: Vec<&'static str>,
    /// How many events are there at first.
    pub(crate) first: usize,
}

/// An event of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    event_type: &'static str,
    stream: usize,
    /// A rule that takes it fails.
    is_poison: bool,
    /// It does not fit into everything.
    is_odd: bool,
}

/// What the rules do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Lift,
    Drop,
    Split,
    Redact,
    Move,
    Merge,
    MergeByCount,
    MergeThatWaits,
}

const TYPES: [&str; 8] = ["A", "B", "C", "D", "L", "P", "E", "X"];

fn any_event() -> impl Strategy<Value = Logged> {
    let event_type = prop_oneof![20 => 0..TYPES.len() - 1, 1 => Just(TYPES.len() - 1)];
    (event_type, 0..3_usize, prop::bool::weighted(0.04), prop::bool::weighted(0.04)).prop_map(
        |(event_type, stream, is_poison, is_odd)| Logged { event_type: TYPES[event_type], stream, is_poison, is_odd },
    )
}

pub(crate) fn any_scene() -> impl Strategy<Value = Scene> {
    let does = prop_oneof![
        Just(Does::Lift),
        Just(Does::Drop),
        Just(Does::Split),
        Just(Does::Redact),
        Just(Does::Move),
        Just(Does::Merge),
        Just(Does::MergeByCount),
        Just(Does::MergeThatWaits),
    ];
    let scope = prop_oneof![
        6 => Just(vec![]),
        1 => Just(vec!["--category", "s"]),
        1 => Just(vec!["--type", "A", "--type", "L"]),
        1 => Just(vec!["--category", "nobody"]),
    ];
    (
        prop::collection::vec(any_event(), 0..40),
        prop::collection::vec(does, 0..5),
        any::<bool>(),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
        scope,
        0..40_usize,
    )
        .prop_map(|(log, mut rules, quarantines, unknown_fail, sparse, scope, first)| {
            let mut seen = Vec::new();
            // One merge a type, and each rule once.
            rules.retain(|does| {
                let kind = if does.merges() { Does::Merge } else { *does };
                let is_new = !seen.contains(&kind);
                seen.push(kind);
                is_new
            });
            let first = first.min(log.len());
            Scene { log, rules, quarantines, unknown_fail, sparse, scope, first }
        })
}

impl Does {
    fn merges(self) -> bool {
        matches!(self, Self::Merge | Self::MergeByCount | Self::MergeThatWaits)
    }

    fn rule(self) -> String {
        let merge = |rest: &str| {
            format!(
                "[[merge]]\nname = \"lines\"\nevents = [\"L\"]\n{rest}\ninto = {{ type = \"R\", version = 1 }}\n\
                 data = [{{ collect = \"/n\", into = \"/lines\" }}, {{ sum = \"/a\", into = \"/total\" }}]\n"
            )
        };
        match self {
            Self::Lift | Self::Split => String::new(),
            Self::Drop => {
                "[[rule]]\nname = \"drops\"\nmatch = { types = [\"B\"] }\nwhen = { path = \"/n\", at_least = 7 }\ndrop = true\n"
                    .to_owned()
            }
            Self::Redact => "[[rule]]\nname = \"redacts\"\nmatch = { types = [\"E\", \"P\"] }\ndata = [{ redact = \"/n\" }]\n"
                .to_owned(),
            Self::Move => "[[rule]]\nname = \"moves\"\nmatch = { types = [\"D\"] }\ncategory = \"moved\"\n".to_owned(),
            Self::Merge => merge("until = \"P\""),
            Self::MergeByCount => merge("count = 3\nuntil = \"P\"\nincludes = false"),
            Self::MergeThatWaits => merge("until = \"P\"\nat_end = \"wait\""),
        }
    }
}

impl Scene {
    /// The project, with the first events of its log, and `target` as the keys of its target.
    pub(crate) fn project(&self, target: &str) -> Project {
        let policy = |name: &str, value: &str, is_set: bool| match is_set {
            true => format!("{name} = \"{value}\"\n"),
            false => String::new(),
        };
        let project = Project::new(&format!(
            "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n\n[target]\n{target}\n[policy]\n{}{}{}",
            policy("failed_events", "quarantine", self.quarantines),
            policy("unknown_types", "fail", self.unknown_fail),
            policy("revisions", "sparse", self.sparse),
        ));
        self.write_log(&project, self.first);
        let has = |does| self.rules.contains(&does);
        let mut currents = "[current]\nB = 1\nD = 1\nE = 1\nL = 1\nP = 1\nR = 1\n".to_owned();
        let lifted = "[[upcast]]\nfrom = 1\ndata = [{ rename = \"/a\", to = \"/amount\" }]\n";
        if has(Does::Lift) {
            project.write("transformers/a.toml", format!("type = \"A\"\ncurrent = 2\n{lifted}"));
        } else {
            currents.push_str("A = 1\n");
        }
        let split = "[[upcast]]\nfrom = 1\nsplit = [{ type = \"C\", version = 2 }, { type = \"D\", version = 1 }]\n";
        if has(Does::Split) {
            project.write("transformers/c.toml", format!("type = \"C\"\ncurrent = 2\n{split}"));
        } else {
            currents.push_str("C = 1\n");
        }
        let rules: Vec<String> = self.rules.iter().map(|does| does.rule()).collect();
        project.write("transformers/rules.toml", currents + &rules.concat());
        project
    }

    /// Writes so many events of the log.
    pub(crate) fn write_log(&self, project: &Project, events: usize) {
        let mut revisions = BTreeMap::new();
        let lines = self.log[..events].iter().enumerate().map(|(index, logged)| {
            let category = if logged.stream == 2 { "t" } else { "s" };
            let stream = format!("{category}-{}", logged.stream);
            let revision = revisions.entry(stream.clone()).or_insert(0_u64);
            *revision += 1;
            logged.line(index + 1, &stream, *revision - 1)
        });
        let text: String = lines.collect();
        project.write("events.ndjson", text);
    }

    pub(crate) fn run(&self, project: &Project, command: &str) -> Said {
        let show: &[&str] = if command == "plan" { &["--show", "0"] } else { &[] };
        let arguments = self.scope.iter().chain(show).chain(&["--json"]);
        let output = project.run(command, arguments);
        let json = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Said { code: output.code.unwrap(), json }
    }
}

impl Logged {
    fn line(&self, number: usize, stream: &str, revision: u64) -> String {
        let amount = if self.is_poison { "\"x\":0" } else { "\"a\":1.50" };
        let note = match self.is_odd {
            true => format!(",\"note\":\"\\u0000{}\"", "-".repeat(900)),
            false => String::new(),
        };
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"{}\",\"subject\":\"{stream}\",\
             \"time\":\"2024-05-01T12:00:{:02}Z\",\"sequence\":{number},\"streamrevision\":{revision},\
             \"data\":{{\"n\":{},{amount}{note}}}}}\n",
            self.event_type,
            number % 60,
            number % 13
        )
    }
}

/// What a command said to machines.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) json: Value,
}

impl Said {
    fn number(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("{key}: {self:?}"))
    }
}

/// Plans, migrates, and compares what was said before with what was done. `held_before`: how many events were in
/// quarantine; `types`: what the target holds, by type and version.
pub(crate) fn compare(
    scene: &Scene,
    project: &Project,
    held_before: u64,
    types: impl Fn() -> BTreeMap<(String, u32), u64>,
) -> Said {
    let before = types();
    let planned = scene.run(project, "plan");
    assert_eq!(before, types(), "a plan writes nothing");
    let done = scene.run(project, "migrate");
    let context = format!("{scene:?}\nplanned {planned:#?}\ndone {done:#?}");
    // A redaction that took nothing is refused once all is in.
    let refused = done.json["refused"].as_str();
    let is_through = [0, 10].contains(&done.code) || refused.is_some();
    assert_eq!(planned.code == 0, is_through && refused.is_none(), "{context}");
    if let Some(refused) = refused {
        assert_eq!((planned.code, done.code), (7, 7), "{context}");
        assert_eq!(planned.json["obstacles"], serde_json::json!([refused]), "{context}");
    }
    if !is_through {
        assert_eq!(planned.code, done.code, "{context}");
        let message = done.json["error"]["message"].as_str().unwrap();
        let first = planned.json["failures"][0]["first"].as_str();
        let obstacle = planned.json["obstacles"][0].as_str().unwrap();
        let failed: Vec<&str> = message.lines().filter_map(|line| line.strip_prefix("  FAILED  ")).collect();
        if let [failed] = failed[..] {
            let (check, why) = failed.split_once(": ").unwrap();
            assert!(obstacle.starts_with(&format!("the check {check} fails: {why}")), "{context}");
            return done;
        }
        let says = obstacle.contains(message) || (obstacle.starts_with("rules fail") && first == Some(message));
        assert!(says, "{context}");
        return done;
    }
    let after = types();
    let (run, counted) = (&planned.json["run"], |key: &str| run_number(&planned.json["run"], key));
    // What is held is not read.
    let held_now = planned.json["held"]["events"].as_u64().unwrap() - held_before;
    assert_eq!(counted("read") + planned.number("events") - held_now, done.number("read"), "{context}");
    assert_eq!(counted("written") + planned.number("written"), done.number("written"), "{context}");
    assert_eq!(planned.number("written"), done.number("written_now"), "{context}");
    if run.is_null() {
        for key in ["lifted", "dropped", "split"] {
            assert_eq!(planned.number(key), done.number(key), "{key}: {context}");
        }
    }
    assert_eq!(planned.json["rules"], done.json["rules"], "{context}");
    assert_eq!(planned.json["held"], done.json["quarantined"], "{context}");
    let mut expected = before;
    for line in planned.json["target_types"].as_array().unwrap() {
        let schema = (line["type"].as_str().unwrap().to_owned(), line["version"].as_u64().unwrap() as u32);
        *expected.entry(schema).or_default() += line["events"].as_u64().unwrap();
    }
    assert_eq!(expected, after, "{context}");
    done
}

fn run_number(run: &Value, key: &str) -> u64 {
    run[key].as_u64().unwrap_or(0)
}
