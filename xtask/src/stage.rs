//! What measurements on PostgreSQL have in common: the program as it is released, a server, and projects on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use crate::bench::line;
use crate::postgres::{Server, Settings};
use crate::process::{Taken, build_release, measure, run, target};

/// A server and a folder that go with this.
pub(crate) struct Stage {
    pub(crate) eventlift: PathBuf,
    pub(crate) folder: PathBuf,
    server: Server,
}

/// A service's connection to a server, within a runtime.
pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what goes wrong is the client's to report.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

impl Stage {
    /// Builds the program and starts a server, as one of a machine of this size would be set up; what is committed is on
    /// the disk. Tables are vacuumed once they are filled: autovacuum would take a core from some measurements and not from
    /// others. `name` is that of the folder.
    pub(crate) fn set(name: &str) -> Result<Self, String> {
        let folder = target().join(format!("{name}-{}", std::process::id()));
        let settings = Settings::new(target().join("postgres"))
            .set("fsync", "on")
            .set("shared_buffers", "2GB")
            .set("max_wal_size", "8GB")
            .set("checkpoint_timeout", "30min")
            .set("autovacuum", "off");
        Ok(Self { eventlift: build_release()?, folder, server: Server::start(&settings)? })
    }

    /// The URL of the server's database, as the superuser.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Fills the events of a schema from a log that `write` writes, with payloads in columns of that kind.
    pub(crate) fn load(
        &self,
        schema: &str,
        events: usize,
        column: &str,
        write: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let log = self.folder.join("log.ndjson");
        let failed = |error: std::io::Error| format!("failed to write {}: {error}", log.display());
        fs::create_dir_all(&self.folder).map_err(failed)?;
        write(&log).map_err(failed)?;
        self.psql(&[&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")])?;
        let project = self.folder.join("load");
        let settings = format!(
            "[source]\nstore = \"file\"\npath = \"{}\"\n\n[target]\nurl = \"{}\"\nschema = \"{schema}\"\ndata = \"{column}\"\nmetadata = \"{column}\"\n",
            log.display(),
            self.url()
        );
        self.project(&project, &settings, "transformers/none.md", "")?;
        let loaded = measure(Command::new(&self.eventlift).arg("migrate").arg(&project))?;
        fs::remove_file(&log).map_err(failed)?;
        line("file → PostgreSQL", events, loaded);
        self.psql(&[&format!("VACUUM (ANALYZE) {schema}.events"), "CHECKPOINT"])
    }

    /// Writes a project's settings, and one file of definitions.
    pub(crate) fn project(&self, folder: &Path, settings: &str, definition: &str, text: &str) -> Result<(), String> {
        let definition = folder.join(definition);
        let parent = definition.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(folder.join("eventlift.toml"), settings))
            .and_then(|()| fs::write(&definition, text))
            .map_err(|error| format!("failed to write {}: {error}", folder.display()))
    }

    /// A project that lifts the events of the schema `old` into `lifted`. `more` is put behind its settings.
    pub(crate) fn lift(&self, column: &str, name: &str, rule: &str, more: &str) -> Result<PathBuf, String> {
        let project = self.folder.join(name);
        let url = self.url();
        let settings = format!(
            "[source]\nurl = \"{url}\"\nschema = \"old\"\n\n[target]\nurl = \"{url}\"\nschema = \"lifted\"\ndata = \"{column}\"\nmetadata = \"{column}\"\n\n{more}"
        );
        self.project(&project, &settings, "transformers/user_created.toml", rule)?;
        Ok(project)
    }

    /// Migrates such a project, into a target that is not there before.
    pub(crate) fn migrate(&self, project: &Path, arguments: &[&str]) -> Result<Taken, String> {
        self.empty_target()?;
        measure(self.command("migrate", project).args(arguments))
    }

    /// Removes `lifted`, and writes what is in memory to the disk, so that what is measured next does not wait for it.
    pub(crate) fn empty_target(&self) -> Result<(), String> {
        self.psql(&["DROP SCHEMA IF EXISTS lifted CASCADE", "CHECKPOINT"])
    }

    /// A command of the program about a project.
    pub(crate) fn command(&self, command: &str, project: &Path) -> Command {
        let mut program = Command::new(&self.eventlift);
        program.arg(command).arg(project);
        program
    }

    /// A service's connection, within a runtime.
    pub(crate) async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        connect(&self.url()).await
    }

    /// Runs statements, each in a transaction of its own.
    pub(crate) fn psql(&self, statements: &[&str]) -> Result<(), String> {
        for statement in statements {
            run(self.psql_command().args(["-c", statement]).stdout(Stdio::null()))?;
        }
        Ok(())
    }

    /// The one number that a query yields.
    pub(crate) fn number(&self, query: &str) -> Result<i64, String> {
        self.ask(query, &[])
    }

    /// The one number that a query about ids, its only parameter, yields.
    pub(crate) fn count_ids(&self, query: &str, ids: &[&str]) -> Result<i64, String> {
        self.ask(query, &[&ids])
    }

    fn ask(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<i64, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let asked = runtime.block_on(async { self.client().await?.query_one(query, parameters).await?.try_get(0) });
        asked.map_err(|error: tokio_postgres::Error| format!("failed to ask {query}: {error}"))
    }

    /// psql on the server.
    pub(crate) fn psql_command(&self) -> Command {
        let mut psql = Command::new(self.server.bin().join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &self.url()]);
        psql.env("PGOPTIONS", "--client_min_messages=warning");
        psql
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left is in the folder of what is built.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
