//! Position maps against the events that they are about, one by one: each byte is what became of an event of the source.

use std::collections::BTreeMap;

use eventlift::events::{
    Checkpoint, CheckpointStore, Counts, EventWriter, LatePosition, MemoryStore, Position, PositionRange, Progress,
    RunId,
};
use eventlift::pipeline::{Mapped, MappedCheckpoint, PositionMap};

use super::engine::Target;
use crate::position_map::{record, run_on};

pub(super) const TARGET: Target = Target {
    name: "positions",
    dictionary: &["\u{2}", "\u{3}", "\u{8}", "\u{c}", "\u{e}", "\u{0}"],
    always: 5_000,
    run,
};

/// More events are no other map.
const MOST: usize = 64;

/// What was made of what, and the map of it.
#[derive(Default)]
struct Made {
    source: u64,
    target: u64,
    /// By their position in the target, what each is made of.
    events: BTreeMap<u64, Vec<u64>>,
    /// Positions of the source that became nothing, so far.
    absent: Vec<u64>,
    sources: Vec<u64>,
    ranges: Vec<PositionRange>,
    late: Vec<LatePosition>,
}

impl Made {
    fn add(&mut self, byte: u8) {
        self.source += 1 + u64::from(byte & 1);
        self.sources.push(self.source);
        match byte >> 1 & 7 {
            0 => self.absent.push(self.source),
            1..=3 => self.became(1, byte & 0x40 != 0),
            4 => self.became(2, false),
            5 => self.became(3, false),
            // An event that was held comes behind all others, or is merged into this one.
            what => {
                let earlier =
                    (!self.absent.is_empty()).then(|| self.absent.remove(usize::from(byte >> 4) % self.absent.len()));
                self.became(1, false);
                let Some(earlier) = earlier else { return };
                if what == 6 {
                    self.events.entry(self.target).or_default().push(earlier);
                } else {
                    self.target += 1;
                    self.events.insert(self.target, vec![earlier]);
                }
                let target = Position::new(self.target);
                self.late.push(LatePosition { source: Position::new(earlier), target, target_length: 1 });
            }
        }
    }

    fn became(&mut self, length: u64, grows: bool) {
        let first = self.target + 1;
        self.target += length;
        (first..=self.target).for_each(|target| drop(self.events.insert(target, vec![self.source])));
        let follows = |last: &&mut PositionRange| {
            let length = last.source_length;
            length == last.target_length
                && last.source.major() + length == self.source
                && last.target.major() + length == first
        };
        match self.ranges.last_mut().filter(|_| grows).filter(follows) {
            Some(last) => (last.source_length, last.target_length) = (last.source_length + 1, last.target_length + 1),
            None => self.ranges.push(PositionRange {
                source: Position::new(self.source),
                source_length: 1,
                target: Position::new(first),
                target_length: length,
            }),
        }
    }

    fn progress(&self, run: RunId) -> Progress {
        let counts = Counts { read: self.sources.len() as u64, written: self.target, ..Counts::default() };
        let target = (self.target > 0).then(|| Position::new(self.target));
        Progress {
            run,
            checkpoint: Checkpoint { source: Position::new(self.source), target, counts },
            state: Vec::new(),
            positions: self.ranges.clone(),
            late: self.late.clone(),
            notes: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// How many events at the start of the target are made only of what a reader had.
    fn done(&self, source: u64) -> usize {
        self.events.values().take_while(|made_of| made_of.iter().all(|from| *from <= source)).count()
    }
}

fn run(input: &[u8]) -> Result<String, String> {
    let mut made = Made::default();
    input.iter().take(MOST).for_each(|byte| made.add(*byte));
    // A map that says nothing says that all has stayed.
    if made.ranges.is_empty() {
        return Ok("nothing".to_owned());
    }
    run_on(async {
        let run = RunId::random();
        let mut ledger = MemoryStore::new().writer().map_err(|error| error.to_string())?;
        ledger.append(&[], Some(&made.progress(run))).await.map_err(|error| error.to_string())?;
        compare(&ledger, run, &made).await
    })?;
    Ok(format!("late {} ranges {}", made.late.is_empty(), made.ranges.len() > 1))
}

async fn compare(ledger: &dyn CheckpointStore, run: RunId, made: &Made) -> Result<(), String> {
    let failed = |error: eventlift::StoreError| error.to_string();
    let map = PositionMap::of(ledger, &record(run), None).await.map_err(failed)?.ok_or("there is no map")?;
    for source in 0..=made.source {
        let mapped = map.checkpoint(Position::new(source)).await.map_err(failed)?;
        let at = match mapped {
            MappedCheckpoint::At(at) => Some(at.major()),
            MappedCheckpoint::Nothing { before } => before.map(Position::major),
            MappedCheckpoint::Ahead => return Err(format!("{source} is not ahead")),
        };
        let passed = at.map_or(0, |at| made.events.range(..=at).count());
        if passed != made.done(source) {
            return Err(format!("a checkpoint at {source} became {mapped:?}, with {} events done", made.done(source)));
        }
    }
    for source in &made.sources {
        let of_it = made.events.iter().filter(|(_, made_of)| made_of.contains(source)).map(|(target, _)| *target);
        let of_it: Vec<u64> = of_it.collect();
        let mapped = map.position(Position::new(*source)).await.map_err(failed)?;
        let found: Vec<u64> = match &mapped {
            Mapped::Became { first, last } => (first.major()..=last.major()).collect(),
            Mapped::Scattered(spans) => spans.iter().flat_map(|(first, last)| first.major()..=last.major()).collect(),
            Mapped::Dropped { .. } => Vec::new(),
            other => return Err(format!("{source} is {other:?}")),
        };
        if found != of_it {
            return Err(format!("{source} became {of_it:?}, not {mapped:?}"));
        }
    }
    let targets: Vec<Position> = made.events.keys().map(|target| Position::new(*target)).collect();
    let found = map.sources(&targets).await.map_err(failed)?;
    for ((target, made_of), found) in made.events.iter().zip(found) {
        let ends = (made_of.iter().min(), made_of.iter().max());
        let found = found.map(|(first, last)| (first.major(), last.major()));
        if ends != (found.as_ref().map(|found| &found.0), found.as_ref().map(|found| &found.1)) {
            return Err(format!("{target} is made of {made_of:?}, not of {found:?}"));
        }
    }
    Ok(())
}
