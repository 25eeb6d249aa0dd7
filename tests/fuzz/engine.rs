//! Makes inputs of those that there are, and sees what a target makes of them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// What is tried.
pub(super) struct Target {
    /// The name of its corpus.
    pub(super) name: &'static str,
    /// Words that are put in.
    pub(super) dictionary: &'static [&'static str],
    /// How many made inputs every run of the suite tries.
    pub(super) always: usize,
    /// Says in a few words how an input ended. Fails where it differs from the reference.
    pub(super) run: fn(&[u8]) -> Result<String, String>,
}

/// An input that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// Longer inputs are cut: they find little that shorter ones don't.
const MAX_BYTES: usize = 4096;

/// So many inputs are kept to make others of.
const MAX_KEPT: usize = 2000;

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One input. A panic is an error, and so is an end that takes too long.
fn attempt(target: &Target, input: &[u8]) -> Result<String, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("it panicked: {}", message.unwrap_or_default()))
        }
    }
}

/// Keeps what failed, and says where.
fn keep(target: &Target, input: &[u8], problem: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target.name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{:016x}", hash(&input)));
    std::fs::write(&file, input).unwrap();
    format!("{}: {problem}\n    the input is kept in {}", target.name, file.display())
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The corpus as it is.
pub(super) fn replay(target: &Target) {
    let inputs = corpus(target);
    assert!(!inputs.is_empty(), "{} has no corpus", target.name);
    for input in inputs {
        attempt(target, &input).unwrap_or_else(|problem| panic!("{}", keep(target, &input, &problem)));
    }
}

/// So many inputs, the same each time.
pub(super) fn run_some(target: &Target, count: usize) {
    let mut maker = Maker::new(target, 1);
    for _ in 0..count {
        maker.step().unwrap_or_else(|problem| panic!("{problem}"));
    }
}

/// As many inputs as there is time for, other ones each time. Prints how many.
pub(super) fn run_for(target: &Target, time: Duration) -> Result<(), String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = std::env::var("EVENTLIFT_FUZZ_SEED").map_or(now.as_secs(), |seed| seed.parse().unwrap());
    let mut maker = Maker::new(target, seed);
    let started = Instant::now();
    let watch = watch(target.name, maker.current.clone());
    let mut count = 0_u64;
    let mut outcome = Ok(());
    while started.elapsed() < time && outcome.is_ok() {
        outcome = maker.step();
        count += 1;
    }
    drop(watch);
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!(
        "{:<14} {count:>9} inputs, {rate:>7.0} a second, {} ways to end, seed {seed}",
        target.name,
        maker.seen.len()
    );
    outcome
}

/// The input that is tried, and since when.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Ends the process where an input hangs: it can't be interrupted.
fn watch(name: &'static str, current: Current) -> Arc<()> {
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    std::thread::spawn(move || {
        while watched.upgrade().is_some() {
            std::thread::sleep(Duration::from_millis(500));
            let hangs = current.lock().unwrap().clone().filter(|(since, _)| since.elapsed() > HANGS_AFTER);
            if let Some((_, input)) = hangs {
                println!("{name}: it hangs on {}", input.escape_ascii());
                std::process::abort();
            }
        }
    });
    alive
}

/// Makes inputs of a corpus.
struct Maker<'t> {
    target: &'t Target,
    random: Random,
    kept: Vec<Vec<u8>>,
    seen: BTreeSet<u64>,
    current: Current,
}

impl<'t> Maker<'t> {
    fn new(target: &'t Target, seed: u64) -> Self {
        let kept = corpus(target);
        Self { target, random: Random(seed | 1), kept, seen: BTreeSet::new(), current: Arc::default() }
    }

    fn step(&mut self) -> Result<(), String> {
        let input = self.made();
        *self.current.lock().unwrap() = Some((Instant::now(), input.clone()));
        let end = attempt(self.target, &input).map_err(|problem| keep(self.target, &input, &problem))?;
        *self.current.lock().unwrap() = None;
        // Places and values differ, the ways to end are few.
        let shape: String = end.chars().filter(|char| char.is_ascii_alphabetic()).take(48).collect();
        if self.seen.insert(hash(&shape)) {
            if self.kept.len() == MAX_KEPT {
                let at = self.random.below(MAX_KEPT);
                self.kept.swap_remove(at);
            }
            self.kept.push(input);
        }
        Ok(())
    }

    fn made(&mut self) -> Vec<u8> {
        let mut input = self.kept[self.random.below(self.kept.len())].clone();
        for _ in 0..1 + self.random.below(4) {
            self.change(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        const BYTES: &[u8] = b"\0\n\r\t \"'\\{}[]():;,.|=/$@?#*+-019eEnulltrue\x7f\x80\xc3\xed\xf0\xff";
        let at = self.random.below(input.len() + 1);
        let upto = (at + 1 + self.random.below(16)).min(input.len());
        match self.random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.random.below(8),
            1 if at < input.len() => input[at] = BYTES[self.random.below(BYTES.len())],
            2 if at < upto => drop(input.drain(at..upto)),
            3 if at < upto => {
                let part = input[at..upto].to_vec();
                let to = self.random.below(input.len() + 1);
                input.splice(to..to, part);
            }
            4 => input.insert(at, BYTES[self.random.below(BYTES.len())]),
            5 => {
                let other = &self.kept[self.random.below(self.kept.len())];
                let from = self.random.below(other.len() + 1);
                let part = other[from..(from + 64).min(other.len())].to_vec();
                input.splice(at..at, part);
            }
            6 if at < upto => {
                let number = ["0", "-1", "1e999", "9223372036854775808", "0.1", "255", "-0", "4294967296"];
                input.splice(at..upto, number[self.random.below(number.len())].bytes());
            }
            _ => {
                let words = self.target.dictionary;
                input.splice(at..at, words[self.random.below(words.len())].bytes());
            }
        }
    }
}

/// xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}
