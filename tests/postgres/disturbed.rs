//! Runs that are disturbed at random instants: eventlift is killed, the server crashes, its backends are terminated,
//! connections are cut. Every target ends as the undisturbed one.
//!
//! `EVENTLIFT_KILLS` says how often each run is disturbed; `cargo xtask kill` uses it for the large number.
//! `EVENTLIFT_SEED` repeats what a failure printed.

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

const EVENTS: u64 = 40_000;
const DISTURBANCES: usize = 8;

/// What happens to a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disturbance {
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
enum Work {
    /// A migration by one-to-one rules: ranges at the same time.
    Bulk,
    /// A migration with splits, drops and moves: in order.
    General,
    /// Read models.
    Rebuild,
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
enum Place {
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

    fn port(&self) -> u16 {
        let url = self.url();
        let (address, _) = url.rsplit_once('/').unwrap();
        address.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

struct Bench {
    place: Place,
    proxy: Option<Proxy>,
    project: Project,
    work: Work,
}

impl Bench {
    fn new(disturbance: Disturbance, work: Work) -> Self {
        let place = Place::of(disturbance);
        let mut old = PostgresConfig::new(place.url());
        "old".clone_into(&mut old.schema);
        block_on(async {
            let mut writer = PostgresWriter::open(old).await.unwrap();
            for events in rulebook::log(EVENTS, 17).chunks(10_000) {
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
            Work::Bulk => {
                project.write("transformers/user_created.toml", ONE_TO_ONE);
            }
            Work::General => {
                project.write("transformers/general.toml", GENERAL);
            }
            Work::Rebuild => {
                project.write("projections/log.toml", log_definition(1));
                project.write("projections/order.toml", order_definition(1));
            }
        }
        Self { place, proxy, project, work }
    }

    fn start(&self) -> Child {
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

    /// Everything that a run leaves, but for what differs from run to run.
    fn content(&self) -> Vec<String> {
        let queries: &[&str] = match self.work {
            Work::Bulk | Work::General => &[
                "SELECT e::text FROM made.events e ORDER BY position",
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'made' AND tablename = 'events' ORDER BY 1",
                "SELECT format('%s %s', state, revisions) FROM made.eventlift_stores",
                "SELECT nextval(pg_get_serial_sequence('made.events', 'position'))::text",
            ],
            Work::Rebuild => &[
                "SELECT t::text FROM made.seen t ORDER BY 1",
                "SELECT t::text FROM made.streams t ORDER BY 1",
                "SELECT t::text FROM made.kinds t ORDER BY 1",
                "SELECT t::text FROM made.order_snapshots t ORDER BY 1",
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'made' AND tablename LIKE '%\\_\\_%'",
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

    /// Removes what the run made.
    fn clear(&self) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.place.url()).await.unwrap();
            sqlx::raw_sql("DROP SCHEMA IF EXISTS made CASCADE").execute(&mut connection).await.unwrap();
        });
        let _ = std::fs::remove_dir_all(self.project.path(".eventlift"));
    }

    fn disturb(&mut self, disturbance: Disturbance, child: &mut Child, random: &mut Random) {
        match disturbance {
            Disturbance::Kill => child.kill().unwrap(),
            Disturbance::Crash => {
                let Place::Own(server) = &mut self.place else { panic!("a server of its own is to crash") };
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

    /// Runs until done, disturbed each time after a random while. Returns how often it was.
    fn run_disturbed(
        &mut self,
        disturbance: Disturbance,
        duration: &mut Duration,
        random: &mut Random,
        context: &str,
    ) -> usize {
        let mut disturbed = 0;
        let mut child = self.start();
        loop {
            let delay = duration.mul_f64(random.fraction());
            let begun = Instant::now();
            while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if child.try_wait().unwrap().is_some() {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{context}: {} after {disturbed}: {said}", output.status);
                if disturbed == 0 {
                    *duration = begun.elapsed().min(*duration);
                }
                return disturbed;
            }
            self.disturb(disturbance, &mut child, random);
            disturbed += 1;
            if disturbance == Disturbance::Kill {
                if child.wait().unwrap().success() {
                    return disturbed;
                }
                child = self.start();
            }
            // So that a round ends.
            if disturbed.is_multiple_of(4) {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{context}: {} after {disturbed}: {said}", output.status);
                return disturbed;
            }
        }
    }
}

fn sections(work: Work, url: &str) -> String {
    match work {
        Work::Bulk | Work::General => format!("[target]\nurl = \"{url}\"\nschema = \"made\"\ndata = \"jsonb\"\n"),
        Work::Rebuild => format!(
            "[read_models]\nurl = \"{url}\"\nschema = \"made\"\n\n[rebuild]\nworkers = 2\nmemory = \"1 MiB\"\nsave_every = \"20ms\"\n"
        ),
    }
}

fn disturb(disturbance: Disturbance, work: Work) {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed: u64 = number("EVENTLIFT_SEED").unwrap_or_else(now);
    let wanted = number("EVENTLIFT_KILLS").map_or(DISTURBANCES, |kills| kills as usize);
    let mut random = Random(seed | 1);
    let mut bench = Bench::new(disturbance, work);

    let begun = Instant::now();
    let calm = bench.start().wait_with_output().unwrap();
    assert!(calm.status.success(), "{}", String::from_utf8_lossy(&calm.stderr));
    let mut duration = begun.elapsed();
    let undisturbed = bench.content();
    assert!(undisturbed.len() > 1_000);

    let (mut disturbed, mut round) = (0, 0);
    while disturbed < wanted {
        round += 1;
        bench.clear();
        let context = format!("{disturbance:?}, {work:?}, round {round}, EVENTLIFT_SEED={seed}");
        disturbed += bench.run_disturbed(disturbance, &mut duration, &mut random, &context);
        assert_same(&undisturbed, &bench.content(), &context);
    }
    println!("{work:?}: {round} targets, {disturbed} × {disturbance:?}, every target identical");
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
