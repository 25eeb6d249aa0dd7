//! A server that is gone for a while: eventlift says why it waits and until when, goes on by itself, or gives up and says
//! so.

use std::time::Duration;

use super::disturbed::{Bench, Disturbance, Doing, Work};
use crate::content::assert_same;

/// A bench, and what an undisturbed migration makes there.
fn undisturbed() -> (Bench, Vec<String>) {
    let bench = Bench::new(Disturbance::Crash, Work::General);
    bench.prepare(0);
    assert!(bench.start().wait_with_output().unwrap().status.success());
    let undisturbed = bench.content();
    bench.prepare(0);
    (bench, undisturbed)
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_server_that_is_gone_for_a_while_is_waited_for() {
    let (mut bench, undisturbed) = undisturbed();
    let mut child = bench.start();
    bench.await_doing(Doing::Loading, &mut child);
    bench.place.server().stop_immediately().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    bench.place.server().start_again().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let tries: Vec<&str> = said.lines().filter(|line| line.contains("; trying again in ")).collect();
    assert!(tries.len() >= 3, "{said}");
    assert!(tries[0].ends_with(" s (the first time)"), "{said}");
    assert!(tries[1].starts_with("failed to open postgres://127.0.0.1:"), "{said}");
    assert!(tries[1].contains("Connection refused") && tries[1].ends_with(" s (the 2nd time)"), "{said}");
    assert_same(&undisturbed, &bench.content(), "gone for three seconds");
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_server_that_is_gone_too_long_is_given_up() {
    let (mut bench, undisturbed) = undisturbed();
    let configuration = String::from_utf8(bench.project.read("eventlift.toml")).unwrap();
    bench.project.write("eventlift.toml", format!("{configuration}\n[retry]\ngive_up_after = \"500ms\"\n"));
    let mut child = bench.start();
    bench.await_doing(Doing::Loading, &mut child);
    bench.place.server().stop_immediately().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("; trying again in "), "{said}");
    let last = said.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(last.starts_with("error: failed to open postgres://127.0.0.1:"), "{said}");
    assert!(last.ends_with("Connection refused (os error 111)"), "{said}");
    assert!(said.contains("hint: see whether the server runs and can be reached from here"), "{said}");

    // Where nobody has answered yet it is told at once.
    let at_once = bench.project.migrate();
    assert_eq!(at_once.code, Some(8), "{}", at_once.stderr);
    assert!(!at_once.stderr.contains("trying again"), "{}", at_once.stderr);

    bench.place.server().start_again().unwrap();
    bench.project.migrate().succeeds();
    assert_same(&undisturbed, &bench.content(), "given up, and started again");
}
