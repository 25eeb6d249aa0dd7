//! Who has a store open for writing, as the store itself says it: written where its lock is, by whoever takes that.

use std::fmt;
use std::time::Duration;

use eventlift_events::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger;

/// How long a store waits for an earlier session of its own to end, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// As what a store is opened for writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// What is done with it: `migrate`, `cutover` …; empty where nobody said so.
    pub command: String,
    /// Whether it lets go of the store between two batches once somebody [asks](super::StoreConfig::request).
    pub lets_go: bool,
    /// Whether it takes the store over for good: whoever had it before need not come back.
    pub takes_over: bool,
    /// How long opening a store waits where it is held, for a session that is about to end. Stores in local files never
    /// wait: the system frees their locks at once.
    pub patience: Duration,
}

impl Default for Claim {
    fn default() -> Self {
        Self { command: String::new(), lets_go: false, takes_over: false, patience: PATIENCE }
    }
}

impl Claim {
    /// A command that has a store for the length of its work.
    pub fn of(command: impl Into<String>) -> Self {
        Self { command: command.into(), ..Self::default() }
    }

    /// The same, letting go of it once somebody asks.
    pub fn letting_go(self) -> Self {
        Self { lets_go: true, ..self }
    }

    /// The same, taking it over for good.
    pub fn taking_over(self) -> Self {
        Self { takes_over: true, ..self }
    }
}

/// For how long somebody asks whoever writes to a store to let go of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asking {
    /// For the length of something short: whoever let go may come back.
    ForAWhile,
    /// For good.
    ForGood,
}

/// Who has a store open for writing. Prints as what follows "another run holds it": `process 4711, migrate by anna@db1`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// The number of its process; 0 where that is not known.
    pub process: u32,
    /// When the process was started, as its system counts that; tells it from a later one of the same number.
    pub process_started: Option<u64>,
    /// The machine, since it was started, and what numbers processes on it: elsewhere the number is another process.
    pub machine: String,
    /// What it was opened for.
    pub command: String,
    /// Who: user and host.
    pub by: String,
    /// Since when, in microseconds since 1970.
    pub since: i64,
    /// Whether it lets go once it is asked.
    pub lets_go: bool,
    /// Whether it took the store over for good.
    pub takes_over: bool,
    /// The number of the server's process that keeps the lock, where one does.
    pub session: Option<i32>,
    /// What the server says of that.
    #[serde(skip)]
    pub server: String,
}

impl Holder {
    /// This process.
    pub(crate) fn this(claim: &Claim) -> Self {
        let process = std::process::id();
        Self {
            process,
            process_started: started(process),
            machine: machine(),
            command: claim.command.clone(),
            by: ledger::who(),
            since: Timestamp::now().micros(),
            lets_go: claim.lets_go,
            takes_over: claim.takes_over,
            session: None,
            server: String::new(),
        }
    }

    /// As it was written down. What versions before this one wrote is only the number of the process.
    pub(crate) fn parse(text: &str) -> Self {
        let of_number = || Self { process: text.trim().parse().unwrap_or_default(), ..Self::default() };
        serde_json::from_str(text).unwrap_or_else(|_| of_number())
    }

    /// As it is written down: one line.
    pub(crate) fn written(&self) -> String {
        // Text and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_else(|_| self.process.to_string())
    }

    /// Whether its process lives; none where that can't be told from here, as from another machine.
    pub fn is_alive(&self) -> Option<bool> {
        if self.process == 0 || self.machine.is_empty() || self.machine != machine() {
            return None;
        }
        Some(started(self.process).is_some_and(|started| Some(started) == self.process_started))
    }

    /// Whether it is this process.
    pub fn is_this_process(&self) -> bool {
        self.process == std::process::id() && self.is_alive() == Some(true)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.process, self.server.is_empty()) {
            (0, true) => write!(f, "its process is unknown")?,
            (0, false) => return f.write_str(&self.server),
            (process, true) => write!(f, "process {process}")?,
            (process, false) => write!(f, "{}; process {process}", self.server)?,
        }
        if !self.command.is_empty() {
            write!(f, ", `{}` by {}", self.command, self.by)?;
            Timestamp::from_micros(self.since).iter().try_for_each(|since| write!(f, " since {since}"))?;
        }
        Ok(())
    }
}

/// What a number of a process is about: this start of this machine and its numbering. Empty where the system does not say.
#[cfg(target_os = "linux")]
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let numbering = std::fs::read_link("/proc/self/ns/pid");
    match (boot, numbering) {
        (Ok(boot), Ok(numbering)) => format!("{} {}", boot.trim(), numbering.display()),
        _ => String::new(),
    }
}

#[cfg(not(target_os = "linux"))]
fn machine() -> String {
    String::new()
}

/// When a process was started, in ticks since the machine was; none where there is no such process, or it has ended and
/// only its parent does not know yet.
#[cfg(target_os = "linux")]
fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is its name in brackets, which may hold anything; the third is its state, the 22nd its start.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn started(_: u32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_written_down_and_read_back() {
        let holder = Holder::this(&Claim::of("migrate --follow").letting_go());
        assert_eq!(Holder::parse(&holder.written()), holder);
        assert!(!holder.written().contains('\n'));
        assert_eq!(Holder::parse("4711\n"), Holder { process: 4711, ..Holder::default() });
        assert_eq!(Holder::parse("4711\n").to_string(), "process 4711");
        assert_eq!(Holder::parse("").to_string(), "its process is unknown");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_has_ended_is_told_from_one_that_lives() {
        let this = Holder::this(&Claim::default());
        assert_eq!(this.is_alive(), Some(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = child.id();
        let other = Holder { process, process_started: started(process), ..this.clone() };
        assert_eq!(other.is_alive(), Some(true));
        child.kill().unwrap();
        while started(process).is_some() {
            std::thread::yield_now();
        }
        // Killed, and not waited for: it has a number still.
        assert_eq!(other.is_alive(), Some(false));
        child.wait().unwrap();
        assert_eq!(other.is_alive(), Some(false));
        // Another process of the same number, and one of another machine.
        assert_eq!(Holder { process_started: Some(1), ..this.clone() }.is_alive(), Some(false));
        assert_eq!(Holder { machine: "another".to_owned(), ..this }.is_alive(), None);
    }
}
