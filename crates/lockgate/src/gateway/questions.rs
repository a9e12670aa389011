//! Questions to identity providers that are under way. Each provider has places of its own: one that hangs keeps what is asked of
//! others waiting for nothing.

use lockgate_core::limits;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{Id, JoinSet};

/// How long after a question that was not answered the next one comes at most.
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// How long after so many questions in a row that were not answered the next one comes: soon after the first, for it may have been
/// no more than a connection that broke, and less and less often while the provider is away.
pub(super) fn wait(in_vain: u32) -> Duration {
    Duration::from_secs(1 << in_vain.saturating_sub(1).min(8)).min(AGAIN_MAX)
}

/// What is being asked, and of whom.
#[derive(Default)]
pub(super) struct Questions {
    tasks: JoinSet<()>,
    /// By task: what is asked about, and its provider.
    under_way: HashMap<Id, (String, String)>,
}

impl Questions {
    /// Begins to ask.
    pub(super) fn ask(&mut self, about: &str, provider: &str, question: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(question);
        self.under_way.insert(task.id(), (about.to_owned(), provider.to_owned()));
    }

    /// Makes room of those that are over.
    pub(super) fn settle(&mut self) {
        while let Some(done) = self.tasks.try_join_next_with_id() {
            let id = match &done {
                Ok((id, ())) => *id,
                Err(error) => error.id(),
            };
            let of = self.under_way.remove(&id);
            if let Err(error) = done {
                tracing::error!(%error, ?of, "an identity provider was not asked");
            }
        }
    }

    /// How many more a provider may get.
    pub(super) fn room(&self, provider: &str) -> usize {
        let asking = self.under_way.values().filter(|(_, name)| name == provider).count();
        limits::RECHECKS_AT_ONCE.saturating_sub(asking)
    }

    /// What is asked about.
    pub(super) fn about(&self) -> impl Iterator<Item = &str> {
        self.under_way.values().map(|(about, _)| about.as_str())
    }

    /// Gives up all of them.
    #[cfg(test)]
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_question_comes_soon_and_then_less_often() {
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|times| wait(times).as_secs()).to_vec();
        assert_eq!(waits, [1, 1, 2, 4, 8, 10, 10, 10]);
    }

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_waiting() {
        let mut questions = Questions::default();
        for n in 0..limits::RECHECKS_AT_ONCE {
            assert_eq!(questions.room("hangs"), limits::RECHECKS_AT_ONCE - n);
            questions.ask(&format!("h{n}"), "hangs", std::future::pending());
        }
        assert_eq!((questions.room("hangs"), questions.room("answers")), (0, limits::RECHECKS_AT_ONCE));
        assert!(questions.about().any(|about| about == "h1"));
        questions.abort();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            questions.settle();
        }
        assert_eq!(questions.room("hangs"), limits::RECHECKS_AT_ONCE, "what is over makes room");
        assert_eq!(questions.about().count(), 0);
    }
}
