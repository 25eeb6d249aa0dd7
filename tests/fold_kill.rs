//! A fold that is killed at random instants, and begun again from its folder, comes to the result of an undisturbed
//! one. `EVENTLIFT_FOLD_KILLS` says how often it is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eventlift::rebuild::{FailurePolicy, Fold, FoldOptions};

use crate::fold::{long_log, options, outcome_of, projections, push_all, reference};

const EVENTS: usize = 6_000;
const KILLS: usize = 12;

/// Puts aside after nearly every batch, so that most kills meet a transaction.
fn folding(folder: &Path) -> FoldOptions {
    FoldOptions {
        folder: Some(folder.to_owned()),
        save_every: Duration::from_millis(2),
        ..options(3, 600_000, FailurePolicy::Quarantine)
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "fold_kill::child_folds"])
        .env("EVENTLIFT_CHILD_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process that is started by another test"]
async fn child_folds() {
    let folder = PathBuf::from(std::env::var_os("EVENTLIFT_CHILD_FOLDER").unwrap());
    let mut fold = Fold::begin(projections(), "key", &folding(&folder)).unwrap();
    push_all(&mut fold, &long_log(EVENTS, 500, true), 40).await.unwrap();
    fold.suspend().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_fold_comes_to_the_same() {
    let kills = std::env::var("EVENTLIFT_FOLD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let events = long_log(EVENTS, 500, true);
    let expected = reference(&events, FailurePolicy::Quarantine).unwrap();
    let calm = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    assert!(start(calm.path()).wait().unwrap().success());
    let duration = begun.elapsed();

    let end = events[EVENTS - 1].position;
    let (mut killed, mut in_the_middle, mut round) = (0, 0, 0_u32);
    while killed < kills {
        let folder = tempfile::tempdir().unwrap();
        // Killed up to four times, each time soon, and then gone on with to the end.
        for _ in 0..4 {
            round += 1;
            let mut child = start(folder.path());
            let fraction = f64::from(round.wrapping_mul(2_654_435_769) >> 8) / f64::from(1 << 24);
            std::thread::sleep(duration.mul_f64(0.1 + fraction / 2.0));
            child.kill().unwrap();
            killed += usize::from(child.wait().unwrap().code().is_none());
            // Looking is no more than what the next child does first.
            let left = Fold::begin(projections(), "key", &folding(folder.path())).unwrap();
            in_the_middle += usize::from(left.resumed_at().is_some_and(|at| at < end));
        }
        let mut fold = Fold::begin(projections(), "key", &folding(folder.path())).unwrap();
        push_all(&mut fold, &events, 100).await.unwrap();
        let folded = fold.finish().await.unwrap();
        assert!(outcome_of(&folded).await == expected, "round {round}");
        folded.forget().unwrap();
    }
    println!("killed {killed} times over {} ms, {in_the_middle} times in the middle", duration.as_millis());
    assert!(in_the_middle > 0, "no kill met a fold at work");
}
