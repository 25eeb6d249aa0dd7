//! `migrate` with everything on against `migrate` with as little as can be, and `verify` behind it.

use std::path::Path;

use crate::bench::{bound, line, median};
use crate::event_log::{SPLIT, UPCAST};
use crate::process::{Taken, measure};
use crate::stage::Stage;

/// Both sides are run this often, in turns; the medians count.
const ROUNDS: usize = 7;
/// The same where nothing is bound to come of it.
const ROUNDS_IN_ORDER: usize = 3;
/// What being careful may cost.
const COST: f64 = 1.05;
/// How much faster `verify` is, at least.
const VERIFY: f64 = 1.0;

const PLAIN: &str = "[policy]\nfailed_events = \"stop\"\n";
/// Every check of eventlift's own.
const SKIPPED: [&str; 8] =
    ["covered", "consistent", "schemas", "first-events", "times", "room", "privileges", "clocks"];
/// One check that reads every event of the source, and one that asks an index of the target.
const CAREFUL: &str = r#"
[policy]
failed_events = "quarantine"

[[check]]
name = "revisions count from 0"
when = "before"
on = "source"
sql = "SELECT count(*) FROM events WHERE revision < 0"
expect = 0

[[check]]
name = "nothing old is left"
when = "after"
on = "target"
sql = "SELECT count(*) FROM events WHERE type = 'UserCreated' AND schema_version = 1"
expect = 0
"#;

/// Measures in ranges, with the bounds, and in order, for information.
pub(super) fn overhead(stage: &Stage, events: usize, failed: &mut Vec<String>) -> Result<(), String> {
    println!("medians of {ROUNDS} rounds in turns; the ledger can't be turned off, so both sides keep it");
    let in_ranges = Sides::measure(stage, UPCAST, ROUNDS)?;
    line("migrate in ranges, plain: no checks, no quarantine", events, in_ranges.plain);
    line("migrate in ranges, all checks, 2 of the user's, quarantine", events, in_ranges.careful);
    line("verify", events, in_ranges.verify);
    let (cost, faster) = (in_ranges.cost(), in_ranges.careful.seconds / in_ranges.verify.seconds);
    bound(failed, "time with everything on, of plain", cost, cost <= COST, &format!("at most {COST}"));
    bound(failed, "verify, faster than migrate", faster, faster >= VERIFY, &format!("at least {VERIFY:.1}"));

    let in_order = Sides::measure(stage, SPLIT, ROUNDS_IN_ORDER)?;
    line("migrate in order (a rule splits), plain", events, in_order.plain);
    line("migrate in order, everything on", events, in_order.careful);
    line("verify", events, in_order.verify);
    println!("time with everything on, of plain, in order: {:.2} (for information)", in_order.cost());
    Ok(())
}

/// Medians.
struct Sides {
    plain: Taken,
    careful: Taken,
    verify: Taken,
}

impl Sides {
    fn measure(stage: &Stage, rule: &str, rounds: usize) -> Result<Self, String> {
        let plain = stage.lift("json", "plain", rule, PLAIN)?;
        let careful = stage.lift("json", "careful", rule, CAREFUL)?;
        let skip: Vec<&str> = SKIPPED.iter().flat_map(|name| ["--skip-check", name]).collect();
        let [mut of_plain, mut of_careful, mut of_verify] = [const { Vec::new() }; 3];
        for round in 0..rounds {
            // Whoever comes second finds another cache.
            let is_first = round % 2 == 0;
            let before = is_first.then(|| stage.migrate(&plain, &skip)).transpose()?;
            let with_all = stage.migrate(&careful, &[])?;
            let verified = verify(stage, &careful)?;
            let without = match before {
                Some(taken) => taken,
                None => stage.migrate(&plain, &skip)?,
            };
            println!(
                "  plain {:.2} s, everything on {:.2} s, verify {:.2} s",
                without.seconds, with_all.seconds, verified.seconds
            );
            of_plain.push(without);
            of_careful.push(with_all);
            of_verify.push(verified);
        }
        let [plain, careful, verify] = [&mut of_plain, &mut of_careful, &mut of_verify].map(|taken| median(taken));
        Ok(Self { plain, careful, verify })
    }

    fn cost(&self) -> f64 {
        self.careful.seconds / self.plain.seconds
    }
}

fn verify(stage: &Stage, project: &Path) -> Result<Taken, String> {
    measure(&mut stage.command("verify", project))
}
