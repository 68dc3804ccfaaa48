//! Calls to the pods of a pool that are under way.
//!
//! A pod that hangs holds up nobody: a round begins calls, waits a moment for the answers and goes on; what is answered later, a later
//! round takes in. To one pod there is one call of a kind at a time, and each ends by itself, so pods that hang cost a bounded number of
//! calls. Only a stricter document does not wait for the call before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::clock::mono_ns;
use crate::pods::{PodError, Said};

/// What a call is about; one of a kind at a time to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// Its document, or only its report.
    Document,
    /// A module that it misses.
    Module,
    /// Its metrics.
    Metrics,
}

/// What came of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A report was asked for, or came with a document; then when the clock was heard from which its lease counts.
    Report(Option<u64>, Result<Said, PodError>),
    /// A module was given, or why not.
    Module(Result<(), String>),
    /// Metrics.
    Metrics(Result<String, PodError>),
}

/// An answer, or that there was none.
#[derive(Debug)]
pub(super) struct Answer {
    /// The pod.
    pub(super) pod: String,
    /// Which of that name.
    pub(super) uid: String,
    /// What came of it.
    pub(super) outcome: Outcome,
    /// When it came, monotonic nanoseconds: a round may take it in much later.
    pub(super) at_ns: u64,
    /// A later call about the same has begun meanwhile: what this one says of the pod is old.
    pub(super) superseded: bool,
}

/// A call that has ended: its number, the pod, its UID and the time.
type Ended = (u64, String, String, u64, Outcome);

/// The calls to one pool's pods. Dropped, they are given up.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tasks: JoinSet<Ended>,
    /// The number of the call that counts.
    under_way: BTreeMap<(String, About), u64>,
    begun: u64,
}

impl Calls {
    /// Whether there is a call about this to the pod.
    pub(super) fn has(&self, pod: &str, about: About) -> bool {
        self.under_way.contains_key(&(pod.to_owned(), about))
    }

    /// Begins one; its number.
    pub(super) fn begin(
        &mut self,
        pod: &str,
        uid: &str,
        about: About,
        call: impl Future<Output = Outcome> + Send + 'static,
    ) -> u64 {
        self.begun += 1;
        let (number, name, uid) = (self.begun, pod.to_owned(), uid.to_owned());
        self.under_way.insert((name.clone(), about), number);
        self.tasks.spawn(async move {
            let outcome = call.await;
            (number, name, uid, mono_ns(), outcome)
        });
        number
    }

    /// The answers that there are, and those to calls of these numbers that come within `patience`.
    pub(super) async fn answers(&mut self, mut wanted: BTreeSet<u64>, patience: Duration) -> Vec<Answer> {
        let mut answers = Vec::new();
        let until = Instant::now() + patience;
        loop {
            while let Some(done) = self.tasks.try_join_next() {
                answers.push(self.end(ended(done), &mut wanted));
            }
            if wanted.is_empty() {
                return answers;
            }
            match timeout_at(until, self.tasks.join_next()).await {
                Ok(Some(done)) => answers.push(self.end(ended(done), &mut wanted)),
                Ok(None) | Err(_) => return answers,
            }
        }
    }

    fn end(&mut self, (number, pod, uid, at_ns, outcome): Ended, wanted: &mut BTreeSet<u64>) -> Answer {
        wanted.remove(&number);
        let about = match outcome {
            Outcome::Report(..) => About::Document,
            Outcome::Module(_) => About::Module,
            Outcome::Metrics(_) => About::Metrics,
        };
        let key = (pod, about);
        let superseded = self.under_way.get(&key) != Some(&number);
        if !superseded {
            self.under_way.remove(&key);
        }
        Answer { pod: key.0, uid, outcome, at_ns, superseded }
    }
}

/// Calls are given up only with all of them, so one that has not ended has panicked.
fn ended(done: Result<Ended, JoinError>) -> Ended {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Outcome {
        Outcome::Report(None, Err(PodError::Slow(LONG)))
    }

    const LONG: Duration = Duration::from_secs(600);

    /// Ends when it is told to.
    async fn held(told: tokio::sync::oneshot::Receiver<()>) -> Outcome {
        let _ = told.await;
        report()
    }

    #[tokio::test]
    async fn a_pod_that_hangs_costs_no_more_than_the_patience_and_is_taken_in_later() {
        let mut calls = Calls::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        let quick = calls.begin("a", "1", About::Document, async { report() });
        let hangs = calls.begin("b", "1", About::Document, held(told));
        let answers = calls.answers(BTreeSet::from([quick, hangs]), Duration::from_millis(50)).await;
        assert_eq!(answers.iter().map(|answer| answer.pod.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(!calls.has("a", About::Document) && calls.has("b", About::Document));
        tell.send(()).unwrap();
        let later = calls.answers(BTreeSet::from([hangs]), LONG).await;
        assert_eq!((later.len(), later[0].superseded), (1, false));
        assert!(!calls.has("b", About::Document));
    }

    #[tokio::test]
    async fn the_answer_to_the_call_before_a_stricter_document_is_known_to_be_old() {
        let mut calls = Calls::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        let first = calls.begin("a", "1", About::Document, held(told));
        let halt = calls.begin("a", "1", About::Document, async { report() });
        let answers = calls.answers(BTreeSet::from([halt]), LONG).await;
        assert_eq!(answers.iter().map(|answer| answer.superseded).collect::<Vec<_>>(), [false]);
        tell.send(()).unwrap();
        let answers = calls.answers(BTreeSet::from([first]), LONG).await;
        assert_eq!(answers.iter().map(|answer| answer.superseded).collect::<Vec<_>>(), [true]);
    }

    #[tokio::test]
    async fn calls_about_other_things_go_on_beside_each_other() {
        let mut calls = Calls::default();
        calls.begin("a", "1", About::Metrics, std::future::pending());
        assert!(calls.has("a", About::Metrics) && !calls.has("a", About::Document));
    }
}
