//! Runs that are disturbed at random instants: killed, or cut off from the servers. Every target ends as the undisturbed
//! one. `EVENTLIFT_KILLS` says how often each is disturbed; `cargo xtask kill` uses it for the large number.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::server::{Expected, KurrentServer, ServerOptions};
use super::world::{GENERAL, by_stream, event, fill};
use crate::project::Project;

const DISTURBANCES: usize = 6;
/// A round is disturbed up to this often before it is let come through.
const IN_A_ROUND: usize = 4;

fn disturbances() -> usize {
    std::env::var("EVENTLIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(DISTURBANCES)
}

/// Numbers from 0 to 1, by splitmix64.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("EVENTLIFT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("EVENTLIFT_SEED={seed}");
        Self(seed)
    }

    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disturbance {
    /// SIGKILL, and the same command again.
    Kill,
    /// The connections to both servers break, and answers of appends get lost; the run goes on by itself.
    Drop,
}

/// A source that stays, and a target that is new each round.
struct Bench {
    source: KurrentServer,
    target: KurrentServer,
    project: Project,
}

fn slow(server: &KurrentServer) {
    server.faults().delay(Duration::from_millis(1));
}

impl Bench {
    fn new(source: KurrentServer) -> Self {
        let target = KurrentServer::start(ServerOptions::default());
        slow(&target);
        let project = Project::new(&format!(
            "[source]\nurl = {:?}\n\n[target]\nurl = {:?}\nin_flight = 8\n",
            source.url(),
            target.url()
        ));
        project.write("transformers/general.toml", GENERAL);
        Self { source, target, project }
    }

    fn start(&self) -> Child {
        let mut command = self.project.command("migrate");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same source with a new target.
    fn next(self) -> Self {
        Self::new(self.source)
    }

    fn disturb(&self, disturbance: Disturbance, child: &mut Child) {
        match disturbance {
            Disturbance::Kill => child.kill().unwrap(),
            Disturbance::Drop => {
                self.source.drop_connections();
                self.target.drop_connections();
            }
        }
    }
}

fn source() -> KurrentServer {
    let source =
        KurrentServer::start(ServerOptions { noise_every: 7, transaction_every: 5, ..ServerOptions::default() });
    let database = source.database();
    // Not a multiple of the number of types, so that each stream has all of them.
    fill(&database, 41, 50, true);
    database.set_metadata("user-3", "{\"$maxCount\":1000,\"nested\":{\"a\":[1,2.50]}}").unwrap();
    database.delete("user-4", Expected::Any).unwrap();
    database.append("user-4", Expected::Any, vec![event(5_000)]).unwrap();
    database.tombstone("user-5", Expected::Any).unwrap();
    database.set_metadata("user-6", "{\"$tb\":20}").unwrap();
    source
}

fn ended(child: Child, context: &str) -> bool {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none_or(|code| code == 0), "{context}: {:?} {said}", output.status);
    output.status.success()
}

fn disturbed_at_random(disturbance: Disturbance) {
    let mut random = Random::seeded();
    let mut bench = Bench::new(source());
    let begun = Instant::now();
    assert!(ended(bench.start(), "undisturbed"));
    let duration = begun.elapsed();
    let undisturbed = by_stream(&bench.target.database());
    assert!(undisturbed.len() > 40);
    let mut disturbed = 0;
    for round in 0.. {
        if disturbed >= disturbances() {
            break;
        }
        let context = format!("{disturbance:?}, round {round}");
        bench = bench.next();
        if disturbance == Disturbance::Drop {
            bench.target.faults().lose_answers_at_random(0.02, round);
        }
        let mut child = bench.start();
        for _ in 0..IN_A_ROUND {
            std::thread::sleep(duration.mul_f64(random.fraction() * 0.6));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            bench.disturb(disturbance, &mut child);
            disturbed += 1;
            if disturbance == Disturbance::Kill {
                child.wait().unwrap();
                child = bench.start();
            }
        }
        assert!(ended(child, &context));
        let found = by_stream(&bench.target.database());
        for (stream, lines) in &undisturbed {
            assert_eq!(found.get(stream), Some(lines), "{context}: {stream}");
        }
        assert_eq!(found.len(), undisturbed.len(), "{context}");
        let verified = bench.project.verify();
        assert_eq!(verified.code, Some(0), "{context}: {}{}", verified.stdout, verified.stderr);
    }
    println!("{disturbance:?}: {disturbed} times, {:.1} s each run", duration.as_secs_f64());
}

#[test]
fn a_killed_run_goes_on() {
    disturbed_at_random(Disturbance::Kill);
}

#[test]
fn a_run_outlives_its_connections() {
    disturbed_at_random(Disturbance::Drop);
}
