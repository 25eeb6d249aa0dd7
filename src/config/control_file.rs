//! How a command asks something of a run that another process is at, and how that one says how it is: two small files in
//! the project's folder, each replaced whole.

use std::io::{self, Write};
use std::path::Path;

use eventlift_events::{RunId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Project;
use crate::pipeline::{ThrottleState, Wish};

/// What a run is asked for, in `.eventlift/control.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlFile {
    /// The run that it is about; whichever is next, where it was not known.
    pub run: Option<RunId>,
    /// How fast it may be.
    pub wish: Wish,
    /// Who wrote it: user and host.
    pub by: String,
    /// When it was written, for people.
    pub at: String,
}

/// How a run is that is at work, in `.eventlift/running.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunningFile {
    /// Which run.
    pub run: Option<RunId>,
    /// The number of its process.
    pub process: u32,
    /// When it was written, for people.
    pub at: String,
    /// How fast it may be, and why.
    pub throttle: ThrottleState,
}

impl ControlFile {
    /// What is asked for; nothing where nobody asked for anything. Fails where the file can't be read, or is none.
    pub fn read(project: &Project) -> io::Result<Self> {
        Ok(read(&project.control_file())?.unwrap_or_default())
    }

    /// Asks for this from now on, as the user of this process.
    pub fn write(mut self, project: &Project) -> io::Result<()> {
        (self.by, self.at) = (user_and_host(), Timestamp::now().to_string());
        replace(&project.control_file(), &self)
    }

    /// Whether it is about a run, as far as both are known.
    pub fn is_about(&self, run: Option<RunId>) -> bool {
        self.run.is_none() || run.is_none() || self.run == run
    }
}

impl RunningFile {
    /// How a run is, or was when its process ended without taking the file away; none where none was for long enough.
    pub fn read(project: &Project) -> io::Result<Option<Self>> {
        read(&project.running_file())
    }

    /// Says how the run is that this process is at.
    pub fn write(mut self, project: &Project) -> io::Result<()> {
        (self.process, self.at) = (std::process::id(), Timestamp::now().to_string());
        replace(&project.running_file(), &self)
    }

    /// Takes it away, once this process is at no run any more.
    pub fn remove(project: &Project) {
        let path = project.running_file();
        // One that stays is told from a running one by the target's lock.
        let _ = std::fs::remove_file(&path);
        // Only an empty one goes.
        let _ = path.parent().map(std::fs::remove_dir);
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file: whoever reads it sees the one before or this one, whole.
fn replace(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let written = std::fs::File::create(&name).and_then(|mut file| {
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        std::fs::rename(&name, path)
    });
    if written.is_err() {
        // It is of no use to anybody.
        let _ = std::fs::remove_file(&name);
    }
    written
}

/// Who runs this, as far as the environment says.
pub fn user_and_host() -> String {
    let variable = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok());
    let user = variable(["USER", "USERNAME"]).unwrap_or_else(|| "somebody".to_owned());
    let host = variable(["HOSTNAME", "COMPUTERNAME"])
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .unwrap_or_else(|| "this host".to_owned());
    format!("{user}@{}", host.trim())
}
