//! How many events each rule took.

/// How many events each upcaster and general rule of a registry took. An event that some rule fails on counts for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Took {
    counts: Vec<u64>,
    /// The rules that took the event that is being lifted.
    pending: Vec<usize>,
}

/// What it means that a rule took no event of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakesNothing {
    /// It is said.
    #[default]
    Said,
    /// It redacts, so what it should have taken may be there under another name.
    Refused,
    /// It is meant to be so.
    Meant,
}

/// A rule, as far as it takes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taker<'r> {
    /// Its name, unique in a registry.
    pub name: &'r str,
    /// Where it is defined.
    pub place: &'r eventlift_language::Place,
    /// What it means that it took no event.
    pub takes_nothing: TakesNothing,
}

impl Took {
    /// How many events the rule of this number took.
    pub(super) fn of(&self, rule: usize) -> u64 {
        self.counts.get(rule).copied().unwrap_or(0)
    }

    pub(super) fn note(&mut self, rule: usize) {
        self.pending.push(rule);
    }

    /// Ends an event: it counts once for each rule that took it or a part of it, unless it failed.
    pub(super) fn settle(&mut self, is_lifted: bool) {
        if is_lifted {
            self.pending.sort_unstable();
            self.pending.dedup();
            for rule in &self.pending {
                if self.counts.len() <= *rule {
                    self.counts.resize(*rule + 1, 0);
                }
                self.counts[*rule] += 1;
            }
        }
        self.pending.clear();
    }
}
