//! Ends connections on which nothing happens. Each takes one of few places, so that whoever holds them all and says nothing would
//! keep everybody else out. The libraries below wait without end for the first bytes of a connection, and for the next request of
//! one that only answers pings.

use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// What goes on on one connection.
#[derive(Clone)]
pub(crate) struct Activity(watch::Sender<Requests>);

#[derive(Clone, Copy, Default)]
struct Requests {
    /// Whether there was any.
    any: bool,
    under_way: usize,
}

/// A request that is under way, until its answer was taken.
pub(crate) struct Begun(Activity);

/// An answer that keeps its connection busy until it was taken.
pub(crate) struct Held<B> {
    body: B,
    _begun: Begun,
}

impl Default for Activity {
    fn default() -> Self {
        Activity(watch::Sender::new(Requests::default()))
    }
}

impl Activity {
    /// A request begins.
    pub(crate) fn begin(&self) -> Begun {
        self.0.send_modify(|requests| {
            requests.any = true;
            requests.under_way = requests.under_way.saturating_add(1);
        });
        Begun(self.clone())
    }

    /// Ends when nothing has happened for too long: `first` without any request, `idle` since the last one.
    pub(crate) async fn quiet(&self, first: Duration, idle: Duration) {
        let mut news = self.0.subscribe();
        loop {
            let requests = *news.borrow_and_update();
            let limit = if requests.any { idle } else { first };
            let next = news.changed();
            match requests.under_way {
                0 => match tokio::time::timeout(limit, next).await {
                    Ok(_) => {}
                    Err(_) => return,
                },
                // The sender is this very value: it is there.
                _ => drop(next.await),
            }
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| requests.under_way = requests.under_way.saturating_sub(1));
    }
}

impl<B> Held<B> {
    pub(crate) const fn new(body: B, begun: Begun) -> Self {
        Held { body, _begun: begun }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const IDLE: Duration = Duration::from_millis(800);

    /// Whether it is quiet before this.
    async fn is_quiet_within(activity: &Activity, limit: Duration) -> bool {
        tokio::time::timeout(limit, activity.quiet(FIRST, IDLE)).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_is_quiet_when_nothing_is_under_way() {
        let activity = Activity::default();
        assert!(!is_quiet_within(&activity, FIRST / 3).await);
        assert!(is_quiet_within(&activity, FIRST * 50).await);
        let begun = activity.begin();
        assert!(!is_quiet_within(&activity, IDLE * 2).await, "something is under way");
        drop(begun);
        assert!(!is_quiet_within(&activity, IDLE / 3).await);
        assert!(is_quiet_within(&activity, IDLE * 50).await);
        // Requests that come and go in between are signs of life too.
        let busy = activity.clone();
        let coming = tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 12).await;
                drop(busy.begin());
            }
        });
        assert!(!is_quiet_within(&activity, IDLE * 3).await);
        coming.abort();
    }
}
