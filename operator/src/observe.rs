//! Watches: every change goes into the cache and says whose round is due.

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

/// Tenants whose round is due that may wait to be taken; more, and the watches wait.
const CHANGES_MAX: usize = 1_024;

/// The watches, while this value lives.
pub struct Watches {
    /// Tenants of which something has changed.
    pub changes: mpsc::Receiver<String>,
    /// Kinds of which not everything has been seen yet.
    pub missing: watch::Receiver<BTreeSet<Kind>>,
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Starts them. Each begins again by itself, with back-off, whatever happens to it.
    #[must_use]
    pub fn start(client: &Client, cache: &Arc<Cache>) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let (wanting, missing) = watch::channel(Kind::ALL.into());
        let wanting = Arc::new(wanting);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            tasks.spawn(follow(client.clone(), kind, Arc::clone(cache), sender.clone(), Arc::clone(&wanting)));
        }
        Self { changes, missing, _tasks: tasks }
    }

    /// Waits until the cache has had all there is of every kind.
    pub async fn synced(&mut self) {
        // Ends early only when the watches are gone, and then nobody waits.
        let _ = self.missing.wait_for(BTreeSet::is_empty).await;
    }
}

async fn follow(
    client: Client,
    kind: Kind,
    cache: Arc<Cache>,
    changes: mpsc::Sender<String>,
    wanting: Arc<watch::Sender<BTreeSet<Kind>>>,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let config = watcher::Config {
        label_selector: kind.label_selector(),
        field_selector: kind.field_selector(),
        ..watcher::Config::default()
    };
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object)) => {
                let key = take(&cache, kind, object);
                listed.extend(key.clone());
                key.into_iter().collect()
            }
            Ok(watcher::Event::InitDone) => {
                wanting.send_if_modified(|kinds| kinds.remove(&kind));
                cache.retain(kind, &std::mem::take(&mut listed))
            }
            Ok(watcher::Event::Apply(object)) => take(&cache, kind, object).into_iter().collect(),
            Ok(watcher::Event::Delete(object)) => {
                let key = serde_json::to_value(object).ok().map(|object| Key::of(kind, &object));
                key.iter().for_each(|key| cache.remove(key));
                key.into_iter().collect()
            }
            Err(error) => {
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

fn take(cache: &Cache, kind: Kind, object: DynamicObject) -> Option<Key> {
    let object = serde_json::to_value(object).ok()?;
    Some(cache.insert(kind, object))
}
