//! Projects in temporary folders, and the program run on them.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A project that is deleted when the test ends: `eventlift.toml` and what the test puts beside it.
pub(crate) struct Project {
    folder: TempDir,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// Without the folder's name and whatever else differs from run to run.
    pub(crate) stderr: String,
}

pub(crate) const FILE_TO_SQLITE: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[target]
store = "sqlite"
path = "target.db"
"#;

pub(crate) const FILE_TO_FILE: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[target]
store = "file"
path = "target.ndjson"
"#;

impl Project {
    /// A project with this `eventlift.toml`.
    pub(crate) fn new(toml: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write("eventlift.toml", toml);
        project
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the project, with the folders it is in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs `eventlift COMMAND project ARGUMENTS`.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, command: &str, arguments: impl IntoIterator<Item = S>) -> Output {
        self.output(self.command(command).args(arguments).stdin(Stdio::null()))
    }

    /// The same with this standard input.
    pub(crate) fn run_with_input(&self, command: &str, input: &[u8]) -> Output {
        let mut command = self.command(command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A program that has given up no longer reads.
            scope.spawn(move || drop(pipe.write_all(input)));
            self.said(child.wait_with_output().unwrap())
        })
    }

    pub(crate) fn migrate(&self) -> Output {
        self.run("migrate", [] as [&str; 0])
    }

    pub(crate) fn verify(&self) -> Output {
        self.run("verify", [] as [&str; 0])
    }

    /// The program, about to run a command on the project.
    pub(crate) fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_eventlift"));
        program.arg(command).arg(self.folder()).env_remove("RUST_BACKTRACE");
        program
    }

    pub(crate) fn output(&self, command: &mut Command) -> Output {
        self.said(command.output().unwrap())
    }

    fn said(&self, output: std::process::Output) -> Output {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let stderr = text(output.stderr);
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: self.filtered(&stderr) }
    }

    fn filtered(&self, text: &str) -> String {
        let real = self.folder().canonicalize().unwrap();
        let text = text.replace(real.to_str().unwrap(), "PROJECT").replace(self.folder().to_str().unwrap(), "PROJECT");
        let words: Vec<String> = text.split(' ').map(filtered_word).collect();
        words.join(" ")
    }
}

/// Run ids become `RUN`.
fn filtered_word(word: &str) -> String {
    let bare = word.trim_end_matches([':', ',']);
    if uuid::Uuid::try_parse(bare).is_ok() { word.replace(bare, "RUN") } else { word.to_owned() }
}

impl Output {
    /// Fails unless the program ended with this exit code and said exactly this, in lines, on standard error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, message: &str) {
        if std::env::var_os("EVENTLIFT_RECORD").is_some() {
            let at = std::panic::Location::caller();
            println!("RECORD {}:{} {:?} {:?}", at.file(), at.line(), self.code, self.stderr);
            return;
        }
        assert_eq!((self.code, self.stderr.trim_end()), (Some(code), message), "standard output: {}", self.stdout);
    }

    /// Fails unless the program succeeded.
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}
