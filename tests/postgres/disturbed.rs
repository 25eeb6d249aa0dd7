//! Runs that are disturbed at random instants: eventlift is killed, the server crashes, its backends are terminated,
//! connections are cut. Every target ends as the undisturbed one.
//!
//! `EVENTLIFT_KILLS` says how often each run is disturbed; `cargo xtask kill` uses it for the large number.
//! `EVENTLIFT_SEED` repeats what a failure printed.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use eventlift::events::EventWriter;
use eventlift::stores::postgres::{PostgresConfig, PostgresWriter};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::database::Database;
use super::proxy::Proxy;
use super::server::{Server, settings};
use crate::content::assert_same;
use crate::project::Project;
use crate::rebuild_kill::{log_definition, order_definition};
use crate::rulebook;

const DISTURBANCES: usize = 8;
/// A round is disturbed up to this often before it is let come through.
const IN_A_ROUND: usize = 4;

/// What happens to a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disturbance {
    /// SIGKILL, and the same command again.
    Kill,
    /// `pg_ctl stop -m immediate`, and the server again; eventlift goes on by itself.
    Crash,
    /// `pg_terminate_backend` of all its backends.
    Terminate,
    /// Its connections are cut; the server hears of it later.
    Cut,
}

/// What is disturbed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// A migration by one-to-one rules: ranges at the same time.
    Bulk,
    /// A migration with splits, drops and moves: in order.
    General,
    /// Read models.
    Rebuild,
}

impl Work {
    /// About a second's.
    fn events(self) -> u64 {
        match self {
            Self::Bulk => 40_000,
            Self::General => 20_000,
            Self::Rebuild => 8_000,
        }
    }

    /// How many different targets there are.
    fn variants(self) -> usize {
        if self == Self::Rebuild { 2 } else { 1 }
    }
}

const ONE_TO_ONE: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ set = "/lifted", value = true }]
"#;

/// A split, and a drop that keeps the type.
const GENERAL: &str = r#"
[current]
Ping = 1
UserCreated = 1
UserWelcomed = 1

[[rule]]
name = "no pings"
match = { types = ["Ping"] }
drop = true

[[rule]]
name = "users are welcomed"
match = { types = ["UserCreated"] }
split = [{ type = "UserCreated" }, { type = "UserWelcomed", data = [{ remove = "/last" }] }]
"#;

/// A server of the run's own, where it is to crash, or a database of the test run's.
pub(super) enum Place {
    Own(Box<Server>),
    Shared(Database),
}

impl Place {
    fn of(disturbance: Disturbance) -> Self {
        match disturbance {
            Disturbance::Crash => Self::Own(Box::new(Server::start(&settings()).unwrap())),
            _ => Self::Shared(block_on(Database::create())),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Own(server) => server.url(),
            Self::Shared(database) => database.url(),
        }
    }

    /// The server, where it is the run's own.
    pub(super) fn server(&mut self) -> &mut Server {
        let Self::Own(server) = self else { panic!("a server of its own is to crash") };
        server
    }

    fn port(&self) -> u16 {
        let url = self.url();
        let (address, _) = url.rsplit_once('/').unwrap();
        address.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

pub(super) struct Bench {
    pub(super) place: Place,
    proxy: Option<Proxy>,
    pub(super) project: Project,
    work: Work,
}

impl Bench {
    pub(super) fn new(disturbance: Disturbance, work: Work) -> Self {
        let place = Place::of(disturbance);
        let mut old = PostgresConfig::new(place.url());
        "old".clone_into(&mut old.schema);
        block_on(async {
            let mut writer = PostgresWriter::open(old).await.unwrap();
            for events in rulebook::log(work.events(), 17).chunks(10_000) {
                writer.append(events, None).await.unwrap();
            }
            writer.seal(true).await.unwrap();
        });
        let proxy = (disturbance == Disturbance::Cut).then(|| Proxy::before(place.port()));
        let url = match &proxy {
            Some(proxy) => place.url().replace(&format!(":{}/", place.port()), &format!(":{}/", proxy.port())),
            None => place.url(),
        };
        let project = Project::new(&format!("[source]\nurl = \"{url}\"\nschema = \"old\"\n\n{}", sections(work, &url)));
        match work {
            Work::Bulk => drop(project.write("transformers/user_created.toml", ONE_TO_ONE)),
            Work::General => drop(project.write("transformers/general.toml", GENERAL)),
            Work::Rebuild => {}
        }
        Self { place, proxy, project, work }
    }

    pub(super) fn start(&self) -> Child {
        let mut command = match self.work {
            Work::Bulk | Work::General => self.project.command("migrate"),
            Work::Rebuild => {
                let mut command = self.project.command("rebuild");
                command.arg("--all");
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Makes the next run one that has everything to do: a migration begins with nothing; read models have another
    /// definition than those that are live.
    pub(super) fn prepare(&self, round: usize) {
        if self.work == Work::Rebuild {
            let version = self.variant(round) as u64 + 1;
            self.project.write("projections/log.toml", log_definition(version));
            self.project.write("projections/order.toml", order_definition(version));
            return;
        }
        block_on(async {
            let mut connection = PgConnection::connect(&self.place.url()).await.unwrap();
            sqlx::raw_sql("DROP SCHEMA IF EXISTS made CASCADE").execute(&mut connection).await.unwrap();
        });
    }

    /// Which of the undisturbed targets a round has to end with.
    fn variant(&self, round: usize) -> usize {
        round % self.work.variants()
    }

    /// Everything that a run leaves, but for what differs from run to run.
    pub(super) fn content(&self) -> Vec<String> {
        let queries: &[&str] = match self.work {
            Work::Bulk | Work::General => &[
                "SELECT e::text FROM made.events e ORDER BY position",
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'made' AND tablename = 'events' ORDER BY 1",
                "SELECT format('%s %s', state, revisions) FROM made.eventlift_stores",
                "SELECT nextval(pg_get_serial_sequence('made.events', 'position'))::text",
                "SELECT state FROM made.eventlift_runs",
                "SELECT (to_jsonb(t) - 'run')::text FROM made.eventlift_checkpoints t ORDER BY 1",
                "SELECT (to_jsonb(t) - 'run')::text FROM made.eventlift_positions t ORDER BY 1",
                "SELECT (to_jsonb(t) - 'run')::text FROM made.eventlift_state t ORDER BY 1",
                "SELECT (to_jsonb(t) - 'run')::text FROM made.eventlift_ranges t ORDER BY 1",
            ],
            Work::Rebuild => &[
                "SELECT t::text FROM made.seen t ORDER BY 1",
                "SELECT t::text FROM made.streams t ORDER BY 1",
                "SELECT t::text FROM made.kinds t ORDER BY 1",
                "SELECT t::text FROM made.order_snapshots t ORDER BY 1",
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'made' AND tablename LIKE '%\\_\\_%' \
                 AND tablename NOT LIKE '%\\_\\_previous'",
            ],
        };
        block_on(async {
            let mut connection = PgConnection::connect(&self.place.url()).await.unwrap();
            let mut lines = Vec::new();
            for query in queries {
                let found: Vec<String> =
                    sqlx::query_scalar(AssertSqlSafe(*query)).fetch_all(&mut connection).await.unwrap();
                lines.extend(found);
            }
            lines
        })
    }

    /// Waits until the run does this at the server, or has ended.
    pub(super) fn await_doing(&self, wanted: Doing, child: &mut Child) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.place.url()).await.unwrap();
            until(&mut connection, wanted, child).await;
        });
    }

    /// Waits until the run ends the way its work ends, and a moment. A swap is over within a moment, so it is held up by
    /// a reader of a live table; where that one is returned it still is.
    fn await_end(&self, child: &mut Child, random: &mut Random) -> Option<PgConnection> {
        if self.work != Work::Rebuild {
            self.await_doing(Doing::Sealing, child);
            wait(child, Duration::from_millis(150).mul_f64(random.fraction()));
            return None;
        }
        let is_over = random.fraction() < 0.5;
        let reader = block_on(async {
            let mut reader = PgConnection::connect(&self.place.url()).await.unwrap();
            let mut looker = PgConnection::connect(&self.place.url()).await.unwrap();
            let hold_up = "BEGIN; LOCK TABLE made.seen IN ACCESS SHARE MODE";
            sqlx::raw_sql(hold_up).execute(&mut reader).await.unwrap();
            until(&mut looker, Doing::Swapping, child).await;
            if is_over {
                sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
            }
            reader
        });
        wait(child, Duration::from_millis(8).mul_f64(random.fraction()));
        (!is_over).then_some(reader)
    }

    fn disturb(&mut self, disturbance: Disturbance, child: &mut Child, random: &mut Random) {
        match disturbance {
            Disturbance::Kill => child.kill().unwrap(),
            Disturbance::Crash => {
                let server = self.place.server();
                server.stop_immediately().unwrap();
                server.start_again().unwrap();
            }
            Disturbance::Terminate => block_on(async {
                let mut connection = PgConnection::connect(&self.place.url()).await.unwrap();
                let ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                            WHERE application_name = 'eventlift' AND datname = current_database()";
                sqlx::raw_sql(ours).execute(&mut connection).await.unwrap();
            }),
            Disturbance::Cut => {
                let heard_after = Duration::from_millis((random.fraction() * 400.0) as u64);
                self.proxy.as_ref().unwrap().cut(heard_after);
            }
        }
    }

    /// Runs until done, disturbed a few times: anywhere, where it loads, where it ends, and anywhere again.
    fn run_disturbed(&mut self, disturbance: Disturbance, duration: Duration, plan: &mut Plan, context: &str) {
        let mut look = Look::new();
        let mut child = self.start();
        let mut disturbed = 0;
        while disturbed < IN_A_ROUND {
            look.prepare(&self.place.url());
            let mut reader = None;
            match disturbed {
                2 => {
                    reader = self.await_end(&mut child, &mut plan.random);
                }
                1 => {
                    self.await_doing(Doing::Loading, &mut child);
                    wait(&mut child, duration.mul_f64(plan.random.fraction() * 0.08));
                }
                0 => wait(&mut child, duration.mul_f64(plan.random.fraction() * 0.9)),
                _ => wait(&mut child, duration.mul_f64(plan.random.fraction() * 0.5)),
            }
            if child.try_wait().unwrap().is_some() {
                if !plan.has_ended(child, context) {
                    child = self.start();
                    continue;
                }
                return;
            }
            *plan.hit.entry(look.doing()).or_default() += 1;
            self.disturb(disturbance, &mut child, &mut plan.random);
            drop(reader);
            disturbed += 1;
            plan.disturbed += 1;
            if disturbance == Disturbance::Crash {
                look.connection = None;
            }
            if disturbance == Disturbance::Kill {
                if child.wait().unwrap().success() {
                    return;
                }
                child = self.start();
            }
        }
        while !plan.has_ended(child, context) {
            child = self.start();
        }
    }

    /// Nothing is left where rows are put aside.
    fn assert_tidy(&self, context: &str) {
        let put_aside = self.project.path(".eventlift/rebuild");
        for folder in std::fs::read_dir(put_aside).into_iter().flatten() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                assert_eq!(file.unwrap().file_name(), "lock", "{context}: it is left where rows are put aside");
            }
        }
    }
}

fn wait(child: &mut Child, delay: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a run does at the server, as far as can be seen there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Doing {
    /// Nothing: it has not connected yet, or is between two connections.
    Away,
    /// Its connections wait for it.
    Idle,
    /// It looks things up, or has its progress remembered.
    Asking,
    Reading,
    Loading,
    /// Indexes, statistics, what makes a table ready.
    Sealing,
    Swapping,
}

async fn until(connection: &mut PgConnection, wanted: Doing, child: &mut Child) {
    while doing(connection).await != wanted && child.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A look at the server, ready to be taken at once.
struct Look {
    runtime: tokio::runtime::Runtime,
    connection: Option<PgConnection>,
}

impl Look {
    fn new() -> Self {
        Self { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), connection: None }
    }

    /// Connects before the moment that counts.
    fn prepare(&mut self, url: &str) {
        if self.connection.is_none() {
            self.connection = Some(self.runtime.block_on(PgConnection::connect(url)).unwrap());
        }
    }

    fn doing(&mut self) -> Doing {
        self.runtime.block_on(doing(self.connection.as_mut().unwrap()))
    }
}

async fn doing(connection: &mut PgConnection) -> Doing {
    let ours = "SELECT query, state LIKE 'idle%' FROM pg_stat_activity WHERE application_name = 'eventlift' \
                AND datname = current_database() AND state IS NOT NULL";
    let found: Vec<(String, bool)> = sqlx::query_as(ours).fetch_all(connection).await.unwrap();
    let of = |(query, is_idle): &(String, bool)| {
        let holds = |parts: &[&str]| parts.iter().any(|part| query.contains(part));
        match () {
            // The last statement of a connection that waits in a transaction says where that is.
            () if holds(&[
                "RENAME",
                "ACCESS EXCLUSIVE",
                "SAVEPOINT attempt",
                "pg_stat_clear_snapshot",
                "SET side",
                "_aside_",
            ]) =>
            {
                Doing::Swapping
            }
            () if *is_idle => Doing::Idle,
            () if holds(&["INDEX", "ANALYZE", "PRIMARY KEY", "TRIGGER"]) => Doing::Sealing,
            () if holds(&["FROM STDIN"]) => Doing::Loading,
            () if holds(&["TO STDOUT", "\"old\".\"events\"", "old.events"]) => Doing::Reading,
            () => Doing::Asking,
        }
    };
    found.iter().map(of).max().unwrap_or(Doing::Away)
}

fn sections(work: Work, url: &str) -> String {
    match work {
        Work::Bulk | Work::General => format!("[target]\nurl = \"{url}\"\nschema = \"made\"\ndata = \"jsonb\"\n"),
        Work::Rebuild => format!(
            "[read_models]\nurl = \"{url}\"\nschema = \"made\"\n\n[rebuild]\nworkers = 2\nmemory = \"1 MiB\"\nsave_every = \"20ms\"\n"
        ),
    }
}

/// How often, by what chance, and what came of it.
struct Plan {
    seed: u64,
    random: Random,
    wanted: usize,
    disturbed: usize,
    /// What was being done when it was disturbed.
    hit: BTreeMap<Doing, usize>,
    /// How often it went on by itself.
    retries: usize,
    /// How often nobody answered when it was started, and it was started again.
    unanswered: usize,
}

impl Plan {
    fn new() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into();
        let seed = number("EVENTLIFT_SEED").unwrap_or_else(now);
        let wanted = number("EVENTLIFT_KILLS").map_or(DISTURBANCES, |kills| kills as usize);
        let random = Random(seed | 1);
        Self { seed, random, wanted, disturbed: 0, hit: BTreeMap::new(), retries: 0, unanswered: 0 }
    }

    /// Waits for the end of a run, which must be a good one; false where there was no server when it was started.
    fn has_ended(&mut self, child: Child, context: &str) -> bool {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        self.retries += said.matches("trying again in").count();
        if !output.status.success() && said.contains("Connection refused") && !said.contains("trying again in") {
            self.unanswered += 1;
            return false;
        }
        assert!(output.status.success(), "{context}: {}: {said}", output.status);
        true
    }
}

fn disturb(disturbance: Disturbance, work: Work) {
    let mut plan = Plan::new();
    let mut bench = Bench::new(disturbance, work);
    let mut duration = Duration::MAX;
    let mut undisturbed = Vec::new();
    for round in 0..work.variants() {
        bench.prepare(round);
        let begun = Instant::now();
        let calm = bench.start().wait_with_output().unwrap();
        assert!(calm.status.success(), "{}", String::from_utf8_lossy(&calm.stderr));
        duration = duration.min(begun.elapsed());
        undisturbed.push(bench.content());
    }
    assert!(undisturbed.iter().all(|lines| lines.len() > 1_000));
    assert!(undisturbed.len() == 1 || undisturbed[0] != undisturbed[1]);

    let mut round = 0;
    while plan.disturbed < plan.wanted {
        bench.prepare(round);
        let context = format!("{disturbance:?}, {work:?}, round {round}, EVENTLIFT_SEED={}", plan.seed);
        bench.run_disturbed(disturbance, duration, &mut plan, &context);
        assert_same(&undisturbed[bench.variant(round)], &bench.content(), &context);
        bench.assert_tidy(&context);
        round += 1;
    }
    let Plan { disturbed, hit, retries, unanswered, .. } = &plan;
    println!(
        "{disturbance:?}, {work:?}: {disturbed} in runs of {} ms, where they met {hit:?}; went on by itself {retries} \
         times, found nobody when started {unanswered} times; {round} targets, every one identical",
        duration.as_millis()
    );
    assert!(disturbance == Disturbance::Kill || *retries > 0, "nothing had to be tried again");
}

macro_rules! disturbed {
    ($($name:ident: $disturbance:ident $work:ident;)*) => {$(
        #[test]
        #[ignore = "needs a PostgreSQL server: cargo xtask test"]
        fn $name() {
            disturb(Disturbance::$disturbance, Work::$work);
        }
    )*};
}

disturbed! {
    a_killed_bulk_load_goes_on: Kill Bulk;
    a_killed_migration_goes_on: Kill General;
    a_killed_rebuild_goes_on: Kill Rebuild;
    a_bulk_load_outlives_crashes_of_the_server: Crash Bulk;
    a_migration_outlives_crashes_of_the_server: Crash General;
    a_rebuild_outlives_crashes_of_the_server: Crash Rebuild;
    a_bulk_load_outlives_its_backends: Terminate Bulk;
    a_migration_outlives_its_backends: Terminate General;
    a_rebuild_outlives_its_backends: Terminate Rebuild;
    a_bulk_load_outlives_its_connections: Cut Bulk;
    a_migration_outlives_its_connections: Cut General;
    a_rebuild_outlives_its_connections: Cut Rebuild;
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// xorshift64*: enough for instants.
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
