//! Being told that events may be there.

use eventlift_events::StoreError;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgListener, PgPoolOptions};

use super::config::PostgresConfig;
use super::connection::options;
use super::failure::store_error;
use super::{columns, layout};

/// Yields whenever the table's trigger says that rows were inserted, and when the connection was lost and made anew.
/// Ends when it can't be made: on a standby server, for one, nobody can listen.
pub(super) fn news(config: PostgresConfig) -> BoxStream<'static, ()> {
    Box::pin(async_stream::stream! {
        let Ok(mut listener) = listen(&config).await else { return };
        // Whatever came before there was a listener.
        yield ();
        while listener.try_recv().await.is_ok() {
            yield ();
        }
    })
}

async fn listen(config: &PostgresConfig) -> Result<PgListener, StoreError> {
    let display = config.place();
    let failed = |e| store_error("listen to", &display, e);
    let options = options(&config.server, &display)?;
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.connect_with(options).await.map_err(failed)?;
    let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
    listener.ignore_pool_close_event(true);
    listener.listen(&layout::channel(&columns::relation(config))).await.map_err(failed)?;
    Ok(listener)
}
