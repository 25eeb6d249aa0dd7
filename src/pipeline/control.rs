//! Asking a run, while it runs, to be slower or to pause.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a run is asked for while it runs, over what it was started with.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// Commit no more events a second than this, whatever else is set.
    pub events_per_second: Option<f64>,
    /// Commit no more megabytes (of a million bytes) a second than this, whatever else is set.
    pub megabytes_per_second: Option<f64>,
    /// Nothing slows it down, whatever else is set; only a pause does.
    pub off: bool,
    /// Nothing is committed until this is taken back.
    pub paused: bool,
}

/// Says what is wished for.
#[derive(Clone, Debug)]
pub struct ControlHandle(watch::Sender<Wish>);

/// What a run listens to.
#[derive(Clone, Debug)]
pub struct Control(watch::Receiver<Wish>);

impl ControlHandle {
    /// A handle and what listens to it.
    pub fn new() -> (Self, Control) {
        let (sender, receiver) = watch::channel(Wish::default());
        (Self(sender), Control(receiver))
    }

    /// Wishes for this from now on. Listeners are woken only where it is something else than before.
    pub fn wish(&self, wish: Wish) {
        self.0.send_if_modified(|known| {
            let is_new = *known != wish;
            *known = wish;
            is_new
        });
    }
}

impl Control {
    /// Nobody ever wishes for anything.
    pub fn none() -> Self {
        // A channel without a sender keeps its value.
        ControlHandle::new().1
    }

    /// What is wished for now.
    pub fn now(&self) -> Wish {
        *self.0.borrow()
    }

    /// Waits until something else than `known` is wished for; forever if nobody can wish any more.
    pub async fn differs(&self, known: Wish) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|wish| *wish != known).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
