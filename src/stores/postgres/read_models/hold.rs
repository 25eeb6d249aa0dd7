//! Who builds a projection: an advisory lock of a session, and the epoch that fences off who lost it.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use eventlift_projections::Hold;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::pool::{Pool, close};
use super::record;
use crate::stores::{Claim, Holder};

pub(super) const ACTION: &str = "hold a projection in";
/// How long a session of this process that was cut off may take to end.
const LINGERING: Duration = Duration::from_secs(2);
/// How long one may that shows no process that lives: the server finds out within about a minute that a machine is gone.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long dropping a hold waits for the server at most.
const LETTING_GO: Duration = Duration::from_secs(2);

/// The epochs of the projections that are held through a handle.
pub(super) type Epochs = Arc<Mutex<HashMap<String, i64>>>;

/// The number of a projection's lock.
pub(super) fn lock_key(schema: &str, projection: &str) -> i64 {
    let mut hash = Sha256::new();
    for part in ["eventlift read model", schema, projection] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(first)
}

/// A projection that is held. Its connection lives on a thread of its own, because dropping it must end the session and
/// a drop can't wait on a runtime.
#[derive(Debug)]
struct SessionHold {
    projection: String,
    epochs: Epochs,
    epoch: i64,
    let_go: Option<tokio::sync::oneshot::Sender<()>>,
    gone: Mutex<mpsc::Receiver<()>>,
}

impl Hold for SessionHold {}

impl Drop for SessionHold {
    fn drop(&mut self) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.get(&self.projection) == Some(&self.epoch) {
            epochs.remove(&self.projection);
        }
        drop(epochs);
        self.let_go.take();
        // Where the server does not answer, the end of the connection frees the lock.
        let _ = self.gone.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LETTING_GO);
    }
}

/// Takes a projection.
pub(super) async fn hold(pool: Arc<Pool>, epochs: &Epochs, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
    let (let_go, dropped) = tokio::sync::oneshot::channel::<()>();
    let (taken, answer) = tokio::sync::oneshot::channel();
    let (ended, gone) = mpsc::channel();
    let name = projection.to_owned();
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let kind = StoreErrorKind::Unexpected(format!("no runtime for the connection: {error}"));
                let _ = taken.send(Err(StoreError::new(ACTION, &pool.display, kind)));
                return;
            }
        };
        runtime.block_on(async move {
            match take(&pool, &name).await {
                Err(error) => drop(taken.send(Err(error))),
                Ok((connection, epoch)) => {
                    if taken.send(Ok(epoch)).is_ok() {
                        let _ = dropped.await;
                    }
                    let _ = tokio::time::timeout(LETTING_GO, close_unlocked(connection, &pool, &name)).await;
                }
            }
        });
        let _ = ended.send(());
    };
    let failed = |what: String| StoreError::new(ACTION, "a PostgreSQL schema", StoreErrorKind::Unexpected(what));
    let thread = std::thread::Builder::new().name(format!("hold {projection}")).spawn(run);
    thread.map_err(|error| failed(format!("no thread for the connection: {error}")))?;
    let epoch = answer.await.map_err(|_| failed("the thread of the connection has ended".to_owned()))??;
    epochs.lock().unwrap_or_else(PoisonError::into_inner).insert(projection.to_owned(), epoch);
    Ok(Box::new(SessionHold {
        projection: projection.to_owned(),
        epochs: Arc::clone(epochs),
        epoch,
        let_go: Some(let_go),
        gone: Mutex::new(gone),
    }))
}

async fn close_unlocked(mut connection: PgConnection, pool: &Pool, projection: &str) {
    let key = lock_key(&pool.config.schema, projection);
    // Freed before the connection is closed: the server ends a session some time after that.
    let _ = sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut connection).await;
    close(connection).await;
}

async fn take(pool: &Pool, projection: &str) -> Result<(PgConnection, i64), StoreError> {
    let failed = |error: sqlx::Error| pool.error(ACTION, error.into());
    let mut connection = pool.connect().await.map_err(|error| StoreError { action: ACTION, ..error })?;
    let key = lock_key(&pool.config.schema, projection);
    let begun = tokio::time::Instant::now();
    let mut refused = None;
    let number = loop {
        let (taken, number): (bool, i32) = sqlx::query_as("SELECT pg_try_advisory_lock($1), pg_backend_pid()")
            .bind(key)
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        if taken {
            break number;
        }
        let holder = holder(&mut connection, key).await.map_err(failed)?;
        let session = holder.as_ref().map(|(session, _)| *session);
        let known = record::holder(&mut connection, &pool.config.schema, projection).await;
        let known = known.filter(|known| known.session.is_some() && known.session == session);
        let patience = match known.as_ref().map(|known| (known.is_alive(), known.is_this_process())) {
            Some((_, true)) => LINGERING,
            // Whoever is well is not going to end within a moment.
            Some((Some(true), false)) => Duration::ZERO,
            Some((Some(false), _)) => {
                // Without the right to, it is waited for.
                let _ = end(&mut connection, key, session).await;
                PATIENCE
            }
            // On another machine, or of an earlier version.
            Some((None, _)) | None => LINGERING,
        };
        if begun.elapsed() >= patience {
            let holder = holder.map_or_else(|| "a session that has just ended".to_owned(), |(_, holder)| holder);
            refused = Some(match known {
                Some(known) => format!("{holder}; {known}"),
                None => holder,
            });
            break number;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    if let Some(holder) = refused {
        close(connection).await;
        return Err(StoreError::new(ACTION, &pool.display, StoreErrorKind::Locked(holder))
            .at(format_args!("projection {projection}"))
            .hint("wait until that run ends, or stop it"));
    }
    let holder = Holder { session: Some(number), ..Holder::this(&Claim::default()) };
    let epoch = record::next_epoch(&mut connection, &pool.config.schema, projection, &holder).await.map_err(failed)?;
    Ok((connection, epoch))
}

/// Ends the session that has a lock, if it is still this one.
async fn end(connection: &mut PgConnection, key: i64, session: Option<i32>) -> Result<(), sqlx::Error> {
    let sql = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = $2
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND l.classid::bigint = (($1 >> 32) & 4294967295) AND l.objid::bigint = ($1 & 4294967295)";
    sqlx::query(sql).bind(key).bind(session).execute(connection).await.map(|_| ())
}

/// Who has a lock: the server's process, and `process 4711, eventlift from 10.0.0.7`.
async fn holder(connection: &mut PgConnection, key: i64) -> Result<Option<(i32, String)>, sqlx::Error> {
    let sql = "SELECT l.pid, coalesce(nullif(a.application_name, ''), a.usename, 'unknown') AS application,
                      coalesce(host(a.client_addr), 'this host') AS host
               FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND l.classid::bigint = (($1 >> 32) & 4294967295) AND l.objid::bigint = ($1 & 4294967295)";
    let Some(row) = sqlx::query(sql).bind(key).fetch_optional(connection).await? else { return Ok(None) };
    let (pid, application, host): (i32, String, String) =
        (row.try_get("pid")?, row.try_get("application")?, row.try_get("host")?);
    Ok(Some((pid, format!("server process {pid}, {application} from {host}"))))
}

/// Whether somebody has a projection now.
pub(super) async fn is_held(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<bool, sqlx::Error> {
    Ok(holder(connection, lock_key(schema, projection)).await?.is_some())
}
