//! A made-up history of a git repository, as the lines of an event log: the same number and seed are always the same log.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use eventlift::events::Timestamp;
use uuid::Uuid;

/// 2021-03-01T08:00:00Z.
const FIRST_COMMIT: i64 = 1_614_585_600_000_000;

const AUTHORS: [(&str, &str); 12] = [
    ("Zoë", "Ångström"),
    ("Łukasz", "Żółw"),
    ("千代子", "山田"),
    ("Ann", "O'Neill \"Nell\""),
    ("Jose\u{301}", "Nu\u{301}n\u{303}ez"),
    ("José", "Núñez"),
    ("Олена", "Коваль"),
    ("Back\\slash", "Tab\there"),
    ("ann", "O'Neill \"Nell\""),
    ("Ada", "de la Cruz"),
    ("🦀", "Ferris"),
    ("Ann", ""),
];

const SUBJECTS: [&str; 6] = ["Fix it", "", "Say \"why\" \\ not how", "Größere Änderung 🎉", "tab\tand \u{1}", "+3 -2"];

/// Some differ in case or in the form of their accents only.
const NAMES: [&str; 14] = [
    "src/main.rs",
    "SRC/main.rs",
    "docs/Grüße an alle.md",
    "docs/Gru\u{308}ße an alle.md",
    "it's here/a b.txt",
    "\"quoted\"/x",
    "back\\slash/y",
    "数据/文件",
    "🦀/ferris",
    "a%20b",
    "tab\there",
    "-rf",
    "README",
    "a",
];

/// A history of at least so many events: whole commits, each followed by what it did to files. Files keep their streams
/// through all their names; one that comes back after its deletion has a new stream. Seldom, as in real ones whose
/// branches were put into one line, a file is added twice, or renamed to where another is, or from nowhere.
pub(crate) fn log(events: usize, seed: u64) -> Vec<String> {
    let mut history = History {
        random: Random(seed ^ 0x9e37_79b9_7f4a_7c15),
        events,
        lines: Vec::new(),
        revisions: HashMap::new(),
        files: Vec::new(),
        gone: Vec::new(),
        streams: 0,
    };
    let mut commit = 0;
    while history.lines.len() < events {
        history.commit(commit);
        commit += 1;
    }
    history.lines
}

struct History {
    random: Random,
    /// How many there shall be.
    events: usize,
    lines: Vec<String>,
    revisions: HashMap<String, u64>,
    /// Those that are there.
    files: Vec<File>,
    /// Paths of files that are no longer there, or have another name now.
    gone: Vec<String>,
    streams: u64,
}

struct File {
    stream: String,
    path: String,
    lines: u64,
}

/// What the events of a commit have in common.
struct Commit {
    sha: String,
    time: String,
    version: u32,
    /// Whether letters that are not of ASCII are escaped.
    escaped: bool,
}

impl History {
    fn commit(&mut self, number: u64) {
        let id = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{name} {number}").as_bytes()).simple();
        let sha = format!("{}{:.8}", id("sha"), id("more of it").to_string());
        // Clocks differ: a later commit may say an earlier time.
        let micros = FIRST_COMMIT + 3_600_000_000 * number as i64 - 7_200_000_000 * self.random.below(2) as i64;
        let latter_half = self.lines.len() * 2 > self.events;
        let commit = Commit {
            sha,
            time: Timestamp::from_micros(micros).unwrap().to_string(),
            version: if latter_half == self.random.once_in(20) { 1 } else { 2 },
            escaped: self.random.once_in(3),
        };
        self.record(&commit);
        let changes = match self.random.below(100) {
            0..5 => 0,
            5..7 => 100 + self.random.below(100),
            _ => 1 + self.random.below(8),
        };
        let mut touched = HashSet::new();
        for _ in 0..changes {
            self.change(&commit, &mut touched);
        }
    }

    fn record(&mut self, commit: &Commit) {
        // Some do most of the work.
        let most = 1 + self.random.below(AUTHORS.len() as u64);
        let (first, last) = AUTHORS[self.random.below(most) as usize];
        let subject = commit.json(SUBJECTS[self.random.below(SUBJECTS.len() as u64) as usize]);
        let author = match commit.version {
            1 => format!(r#""author_first":{},"author_last":{}"#, commit.json(first), commit.json(last)),
            _ => format!(r#""author":{}"#, commit.json(&format!("{first} {last}"))),
        };
        let data = format!(r#"{{"sha":"{}",{author},"subject":{subject}}}"#, commit.sha);
        self.line(commit, "CommitRecorded", commit.version, &format!("commit-{:.12}", commit.sha), &data);
    }

    /// One change of one file that this commit has not changed yet.
    fn change(&mut self, commit: &Commit, touched: &mut HashSet<String>) {
        let place = self.random.below(self.files.len().max(1) as u64) as usize;
        let untouched = self.files.get(place).is_some_and(|file| !touched.contains(&file.stream));
        let kind = if untouched { self.random.below(100) } else { 0 };
        let stream = match kind {
            0..20 => self.add(commit),
            20..70 => self.modify(commit, place),
            70..82 => self.delete(commit, place),
            82..98 => self.rename(commit, place),
            98 => self.add_again(commit, place),
            _ => self.rename_from_nowhere(commit, place),
        };
        touched.insert(stream);
    }

    fn add(&mut self, commit: &Commit) -> String {
        let file = File { stream: self.new_stream(), path: self.free_path(), lines: self.random.below(200) };
        self.added(commit, &file);
        let stream = file.stream.clone();
        self.files.push(file);
        stream
    }

    fn added(&mut self, commit: &Commit, file: &File) {
        let data = format!(r#"{{"path":{},"additions":{}}}"#, commit.json(&file.path), file.lines);
        self.line(commit, "FileAdded", 1, &file.stream, &data);
    }

    fn add_again(&mut self, commit: &Commit, place: usize) -> String {
        let mut file = self.files.swap_remove(place);
        file.lines = self.random.below(200);
        self.added(commit, &file);
        let stream = file.stream.clone();
        self.files.push(file);
        stream
    }

    fn modify(&mut self, commit: &Commit, place: usize) -> String {
        let (additions, deletions) = self.edit(place);
        let file = &self.files[place];
        let (stream, path) = (file.stream.clone(), commit.json(&file.path));
        let data = match commit.version {
            1 => format!(r#"{{"path":{path},"lines":"+{additions} -{deletions}"}}"#),
            _ => format!(r#"{{"path":{path},"additions":{additions},"deletions":{deletions}}}"#),
        };
        self.line(commit, "FileModified", commit.version, &stream, &data);
        stream
    }

    fn delete(&mut self, commit: &Commit, place: usize) -> String {
        let file = self.files.swap_remove(place);
        let data = format!(r#"{{"path":{},"deletions":{}}}"#, commit.json(&file.path), file.lines);
        self.line(commit, "FileDeleted", 1, &file.stream, &data);
        self.gone.push(file.path);
        file.stream
    }

    fn rename(&mut self, commit: &Commit, place: usize) -> String {
        let edited = if self.random.once_in(2) { (0, 0) } else { self.edit(place) };
        let to = if self.random.once_in(12) {
            self.files[self.random.below(self.files.len() as u64) as usize].path.clone()
        } else {
            self.free_path()
        };
        let file = &mut self.files[place];
        let from = std::mem::replace(&mut file.path, to.clone());
        let stream = file.stream.clone();
        self.renamed(commit, &stream, &from, &to, edited);
        self.gone.push(from);
        stream
    }

    /// A file that was never added, renamed to where another one is.
    fn rename_from_nowhere(&mut self, commit: &Commit, place: usize) -> String {
        let path = self.files[place].path.clone();
        let file = File { stream: self.new_stream(), path, lines: self.random.below(5) };
        self.renamed(commit, &file.stream, "never there", &file.path, (file.lines, 0));
        let stream = file.stream.clone();
        self.files.push(file);
        stream
    }

    fn renamed(&mut self, commit: &Commit, stream: &str, from: &str, to: &str, (additions, deletions): (u64, u64)) {
        let (from, to) = (commit.json(from), commit.json(to));
        let data = format!(r#"{{"from":{from},"path":{to},"additions":{additions},"deletions":{deletions}}}"#);
        self.line(commit, "FileRenamed", 1, stream, &data);
    }

    /// Lines added and deleted.
    fn edit(&mut self, place: usize) -> (u64, u64) {
        let file = &mut self.files[place];
        let edit = (self.random.below(40), self.random.below(file.lines + 1));
        file.lines = file.lines + edit.0 - edit.1;
        edit
    }

    fn new_stream(&mut self) -> String {
        self.streams += 1;
        format!("file-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, &self.streams.to_be_bytes()))
    }

    /// A path where no file is; often one where a file was.
    fn free_path(&mut self) -> String {
        if !self.gone.is_empty() && self.random.once_in(3) {
            let place = self.random.below(self.gone.len() as u64) as usize;
            let path = self.gone.swap_remove(place);
            if self.files.iter().all(|file| file.path != path) {
                return path;
            }
        }
        loop {
            let name = NAMES[self.random.below(NAMES.len() as u64) as usize];
            let path = format!("{name}{}", self.random.below(1 + self.streams));
            if self.files.iter().all(|file| file.path != path) {
                return path;
            }
        }
    }

    fn line(&mut self, commit: &Commit, event_type: &str, version: u32, stream: &str, data: &str) {
        let sequence = self.lines.len();
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &sequence.to_be_bytes());
        let revision = self.revisions.entry(stream.to_owned()).or_default();
        let Commit { sha, time, .. } = commit;
        let attributes = format!(
            r#""specversion":"1.0","id":"{id}","source":"git:made-up","type":"{event_type}","subject":"{stream}","#
        );
        let schema =
            format!(r#""dataschema":"urn:schema:{event_type}:{version}","datacontenttype":"application/json","#);
        let order = format!(r#""sequence":"{sequence:020}","streamrevision":{revision},"#);
        let metadata = format!(r#"{{"correlation_id":"{sha}","causation_id":null}}"#);
        *revision += 1;
        let line = format!(r#"{{{attributes}"time":"{time}",{schema}{order}"data":{data},"metadata":{metadata}}}"#);
        self.lines.push(line);
    }
}

impl Commit {
    /// The text in JSON.
    fn json(&self, text: &str) -> String {
        let json = serde_json::to_string(text).unwrap();
        if !self.escaped {
            return json;
        }
        let mut escaped = String::new();
        for letter in json.chars() {
            if letter.is_ascii() {
                escaped.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").unwrap();
                }
            }
        }
        escaped
    }
}

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
