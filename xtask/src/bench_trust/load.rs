//! Others who keep a server busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use futures_util::future::try_join_all;

use crate::stage::{Stage, connect};

const TABLE: &str = "DROP SCHEMA IF EXISTS others CASCADE; CREATE SCHEMA others;
                     CREATE TABLE others.rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text, hash text);
                     CREATE INDEX ON others.rows (hash)";
/// A transaction: rows whose index entries go anywhere, and a commit that waits for the disk.
const WRITE: &str = "INSERT INTO others.rows (text, hash)
                     SELECT repeat(md5(random()::text), 10), md5(random()::text) FROM generate_series(1, 200)";

/// Connections that write as fast as they can, each in transactions of its own, until it is ended.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Load {
    pub(super) fn start(stage: &Stage, connections: usize) -> Result<Self, String> {
        stage.psql(&[TABLE])?;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (url, stopped, count) = (stage.url(), Arc::clone(&stop), Arc::clone(&written));
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
            let writers = (0..connections).map(|_| write(&url, &stopped, &count));
            let written = runtime.block_on(try_join_all(writers));
            written.map(drop).map_err(|error| format!("failed to keep the server busy: {error}"))
        });
        Ok(Self { stop, written, thread })
    }

    /// Ends it, and says how many transactions were committed.
    pub(super) fn end(self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the load ended badly".to_owned())??;
        Ok(self.written.load(Ordering::Relaxed))
    }
}

async fn write(url: &str, stop: &AtomicBool, written: &AtomicU64) -> Result<(), tokio_postgres::Error> {
    let client = connect(url).await?;
    let statement = client.prepare(WRITE).await?;
    while !stop.load(Ordering::Relaxed) {
        client.execute(&statement, &[]).await?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
