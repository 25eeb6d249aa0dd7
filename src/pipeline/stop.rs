//! Asking a run to stop.

use tokio::sync::watch;

/// Asks a run to stop; it drains, commits and ends.
#[derive(Clone, Debug)]
pub struct StopHandle(watch::Sender<bool>);

/// What a run listens to.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl StopHandle {
    /// A handle and what listens to it.
    pub fn new() -> (StopHandle, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Asks. Asking again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Never asked to stop.
    pub fn never() -> Self {
        // A channel without a sender keeps its value.
        StopHandle::new().1
    }

    /// Whether the run was asked to stop.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the run is asked to stop; forever if nobody can ask any more.
    pub async fn asked(mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
