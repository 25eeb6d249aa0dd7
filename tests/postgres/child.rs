//! A process of its own that connects to a server: what is taken from the environment can't be tested in this one.

use std::process::Command;

use eventlift::stores::postgres::PostgresServer;

const URL: &str = "EVENTLIFT_TEST_REACH";
const PASSWORD_ENV: &str = "EVENTLIFT_TEST_REACH_PASSWORD_ENV";

/// What a process says that connects with these variables: `reached`, or its error and hint.
pub(crate) fn reach(url: &str, password_env: Option<&str>, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "postgres_child::connects", "--nocapture"]).env(URL, url);
    for variable in ["PGPASSWORD", "PGPASSFILE", "PGUSER", "PGHOST", "PGSSLMODE"] {
        child.env_remove(variable);
    }
    if let Some(variable) = password_env {
        child.env(PASSWORD_ENV, variable);
    }
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let said = said.split_once("says: ").unwrap_or_else(|| panic!("the child ran no test: {said}")).1;
    said.lines().next().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "runs in a process that is started by another test"]
async fn connects() {
    let mut server = PostgresServer::new(std::env::var(URL).unwrap());
    server.password_env = std::env::var(PASSWORD_ENV).ok();
    match server.reach().await {
        Ok(()) => println!("says: reached"),
        Err(error) => println!("says: {error} | {}", error.hint.as_deref().unwrap_or_default()),
    }
}
