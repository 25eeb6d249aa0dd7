//! Being told that events may be there.

use eventstore::{Client, StreamPosition, SubscribeToAllOptions, SubscriptionEvent};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::filter::of_everything;

/// Yields whenever an event appears that may be one of ours. Ends when the connection is lost.
pub(super) fn news(client: Client) -> BoxStream<'static, ()> {
    Box::pin(async_stream::stream! {
        // One that is not taken yet says as much as many.
        let (sender, mut receiver) = mpsc::channel(1);
        // On a task of its own: the client does not give way to others while a server that goes sends it nothing.
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = listen(client, &sender) => {}
            }
        });
        while receiver.recv().await.is_some() {
            yield ();
        }
    })
}

async fn listen(client: Client, sender: &mpsc::Sender<()>) {
    let options = SubscribeToAllOptions::default().position(StreamPosition::End).filter(of_everything());
    let mut subscription = client.subscribe_to_all(&options).await;
    while let Ok(found) = subscription.next_subscription_event().await {
        // Whatever came before it was confirmed has to be looked for.
        if let SubscriptionEvent::Confirmed(_) | SubscriptionEvent::EventAppeared(_) = found {
            // Full, or nobody listens: either is fine.
            let _ = sender.try_send(());
        }
    }
}
