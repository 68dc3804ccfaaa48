//! Watches: every change goes into the cache and says whose round is due; what the operator has changed itself says nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cache::{Cache, Key};
use crate::kinds::Kind;
use crate::metrics::{Call, Metrics};

/// Tenants whose round is due that may wait to be taken; more, and the watches wait.
const CHANGES_MAX: usize = 1_024;

/// How long a watch may say nothing before it begins again, seconds: a connection that is dead without anybody having closed it is
/// noticed by this alone, and until then no halt is seen.
const WATCH_SECONDS: u32 = 60;

/// What the watches tell.
pub struct Watches {
    /// Tenants of which something has changed.
    pub changes: mpsc::Receiver<String>,
    /// Kinds of which not everything has been seen yet.
    pub missing: watch::Receiver<BTreeSet<Kind>>,
}

impl Watches {
    /// Starts them. Each begins again by itself, with back-off, whatever happens to it. Should one end all the same, the operator is
    /// blind: who holds the tasks ends with them.
    #[must_use]
    pub fn start(client: &Client, cache: &Arc<Cache>, metrics: &Arc<Metrics>) -> (Self, JoinSet<()>) {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let (wanting, missing) = watch::channel(Kind::ALL.into());
        let wanting = Arc::new(wanting);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let (cache, metrics) = (Arc::clone(cache), Arc::clone(metrics));
            tasks.spawn(follow(client.clone(), kind, cache, metrics, sender.clone(), Arc::clone(&wanting)));
        }
        (Self { changes, missing }, tasks)
    }

    /// Waits until the cache has had all there is of every kind.
    pub async fn synced(&mut self) {
        loop {
            tokio::select! {
                // Ends early only when the watches are gone, and then nobody waits.
                _ = self.missing.wait_for(BTreeSet::is_empty) => return,
                // A term begins with a round of every tenant. What nobody took until then would hold the watches up.
                change = self.changes.recv() => if change.is_none() { return },
            }
        }
    }
}

async fn follow(
    client: Client,
    kind: Kind,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    changes: mpsc::Sender<String>,
    wanting: Arc<watch::Sender<BTreeSet<Kind>>>,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let config = watcher::Config {
        label_selector: kind.label_selector(),
        field_selector: kind.field_selector(),
        ..watcher::Config::default()
    };
    let config = config.timeout(WATCH_SECONDS);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object)) => {
                // News or not: what led to this state may have gone by while nobody watched.
                let key = take(&cache, kind, object).map(|(key, _)| key);
                listed.extend(key.clone());
                key.into_iter().collect()
            }
            Ok(watcher::Event::InitDone) => {
                wanting.send_if_modified(|kinds| kinds.remove(&kind));
                cache.retain(kind, &std::mem::take(&mut listed))
            }
            Ok(watcher::Event::Apply(object)) => {
                take(&cache, kind, object).filter(|(_, news)| *news).map(|(key, _)| key).into_iter().collect()
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = serde_json::to_value(object).ok().map(|object| Key::of(kind, &object));
                key.iter().for_each(|key| cache.remove(key));
                key.into_iter().collect()
            }
            Err(error) => {
                metrics.kube_error(Call::Watch, api_error(&error));
                tracing::warn!(kind = kind.name(), %error, "a watch broke off; beginning again");
                Vec::new()
            }
        };
        for key in changed {
            if changes.send(key.tenant).await.is_err() {
                return;
            }
        }
    }
}

/// The refusal, if it is one.
const fn api_error(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(error),
        _ => None,
    }
}

fn take(cache: &Cache, kind: Kind, object: DynamicObject) -> Option<(Key, bool)> {
    let object = serde_json::to_value(object).ok()?;
    Some(cache.insert(kind, object))
}
