//! Following a source: what comes to it is carried over as it comes.

use std::time::Duration;

use eventlift_events::EventReader;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::error::PipelineError;
use super::migration::{Migration, Outcome};
use super::stop::Stop;

/// How often a source that is followed is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Following {
    /// The wait after a look that found something. It doubles with every look that found nothing.
    pub shortest_wait: Duration,
    /// The longest wait. A source that [tells of news](EventReader::news) is looked at then as well.
    pub longest_wait: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Self { shortest_wait: Duration::from_millis(50), longest_wait: Duration::from_secs(1) }
    }
}

/// Fails where a source can't be followed, since what comes to it may stand before what was read.
pub fn refuse_unfollowable(source: &dyn EventReader) -> Result<(), PipelineError> {
    if source.grows_at_its_end() {
        return Ok(());
    }
    let problem = format!(
        "{} can't be followed: no constraint says that what comes to it stands behind what is there; stop its writers, and \
         migrate it without following it",
        source.identity()
    );
    Err(super::error::Refusal::Unfit(problem).into())
}

impl Migration {
    /// Runs until everything is in and sealed, and then carries over what comes to the source, until it is asked to
    /// stop or something fails. Then everything that was read is committed, and the outcome is done if what was there
    /// at first had come in by then.
    ///
    /// The run stays done meanwhile: its target can be read and verified up to its checkpoint. Progress says how far
    /// the source is. A source that can't be read again has nothing to follow: the outcome is that of
    /// [`run`](Migration::run).
    pub async fn follow(self, following: Following) -> Result<Outcome, PipelineError> {
        if let Some(rule) = self.registry.stateful().iter().find(|rule| rule.ends_with_source()) {
            let problem = format!(
                "{} closes its windows where the source ends, and a source that is followed has no end; \
                 `at_end = \"wait\"` keeps them open",
                rule.name()
            );
            return Err(super::error::Refusal::Unfit(problem).into());
        }
        let stop = self.stop.clone();
        let mut tail = self.into_tail().await?;
        let mut lookout = Lookout::new(&**tail.source(), following, stop.clone());
        let is_followed = tail.outcome().done && tail.source().is_rereadable();
        while is_followed && !stop.is_asked() {
            match tail.carry_over().await {
                Ok(found_something) => lookout.wait(found_something).await,
                Err(error) => return tail.close(Some(error)).await,
            }
        }
        tail.close(None).await
    }
}

/// Waits until it is worth looking again.
struct Lookout {
    following: Following,
    news: Option<BoxStream<'static, ()>>,
    wait: Duration,
    stop: Stop,
}

impl Lookout {
    fn new(source: &dyn EventReader, following: Following, stop: Stop) -> Self {
        Self { following, news: source.news(), wait: following.shortest_wait, stop }
    }

    async fn wait(&mut self, found_something: bool) {
        self.wait = match found_something {
            true => self.following.shortest_wait,
            false => (self.wait * 2).min(self.following.longest_wait),
        };
        tokio::select! {
            () = self.stop.clone().asked() => {}
            () = tokio::time::sleep(self.wait) => {}
            () = next_news(&mut self.news) => {}
        }
    }
}

/// Waits for news; forever once there will be none.
async fn next_news(news: &mut Option<BoxStream<'static, ()>>) {
    if let Some(stream) = news {
        if stream.next().await.is_some() {
            return;
        }
        *news = None;
    }
    std::future::pending().await
}
