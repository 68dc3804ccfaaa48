//! What Kubernetes has, as the watches last said: JSON by kind, namespace and name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::kinds::Kind;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// The tenant that it belongs to: its namespace, or its own name where it has none.
    pub tenant: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    #[must_use]
    pub fn of(kind: Kind, object: &Json) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        let tenant = if kind.is_cluster_wide() { name.clone() } else { text("namespace") };
        Self { kind, tenant, name }
    }
}

/// Objects that are remembered to be gone. An answer to a write comes a few seconds after its object's end at the latest, and in
/// that time not so many go; more, and the oldest are forgotten.
const GONE_MAX: usize = 10_000;

/// All objects that are watched.
#[derive(Debug, Default)]
pub struct Cache {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<Key, Arc<Json>>,
    counts: BTreeMap<Kind, usize>,
    /// UIDs of objects that are gone, the oldest first. Kubernetes gives none twice.
    gone: VecDeque<String>,
}

impl Inner {
    fn put(&mut self, key: Key, object: Json) {
        let kind = key.kind;
        if self.objects.insert(key, Arc::new(object)).is_none() {
            *self.counts.entry(kind).or_default() += 1;
        }
    }

    fn take(&mut self, key: &Key) {
        let Some(object) = self.objects.remove(key) else { return };
        if let Some(count) = self.counts.get_mut(&key.kind) {
            *count -= 1;
        }
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.gone.push_back(uid.to_owned());
        }
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
    }
}

impl Cache {
    /// An object.
    #[must_use]
    pub fn get(&self, kind: Kind, tenant: &str, name: &str) -> Option<Arc<Json>> {
        let key = Key { kind, tenant: tenant.to_owned(), name: name.to_owned() };
        self.read().objects.get(&key).cloned()
    }

    /// The same, typed; `None` as well where it is not what its kind says.
    #[must_use]
    pub fn typed<T: DeserializeOwned>(&self, kind: Kind, tenant: &str, name: &str) -> Option<T> {
        T::deserialize(self.get(kind, tenant, name)?.as_ref()).ok()
    }

    /// A tenant's objects of a kind, in the order of their names.
    #[must_use]
    pub fn list(&self, kind: Kind, tenant: &str) -> Vec<Arc<Json>> {
        let first = Key { kind, tenant: tenant.to_owned(), name: String::new() };
        let inner = self.read();
        let own = inner.objects.range(first..).take_while(|(key, _)| key.kind == kind && key.tenant == tenant);
        own.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Arc<Json>> {
        let first = Key { kind, tenant: String::new(), name: String::new() };
        let inner = self.read();
        let own = inner.objects.range(first..).take_while(|(key, _)| key.kind == kind);
        own.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Every tenant that something belongs to.
    #[must_use]
    pub fn tenants(&self) -> BTreeSet<String> {
        self.read().objects.keys().map(|key| key.tenant.clone()).collect()
    }

    /// How many there are of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.read().counts.get(&kind).copied().unwrap_or(0)
    }

    /// Takes an object as a watch tells of it, unless a later state of it is here: a watch lags behind the answers to writes. Returns
    /// whether it is news. The very state that is here is none: what a write of the operator's own has made, its answer has said
    /// already. An older one is, though it is not taken: what somebody else changed before that write, nobody has looked at yet.
    pub fn insert(&self, kind: Kind, object: Json) -> (Key, bool) {
        let object = prepared(kind, object);
        let key = Key::of(kind, &object);
        let mut inner = self.write();
        let here = inner.objects.get(&key);
        let known = here.is_some_and(|here| is_same_state(here, &object));
        if !known && !here.is_some_and(|here| is_newer(here, &object)) {
            inner.put(key.clone(), object);
        }
        (key, !known)
    }

    /// Takes an object as the answer to a write has it. An answer can come late: of an object that is gone it is no news.
    pub fn answered(&self, kind: Kind, object: Json) {
        let object = prepared(kind, object);
        let key = Key::of(kind, &object);
        let mut inner = self.write();
        let gone = object["metadata"]["uid"].as_str().is_some_and(|uid| inner.gone.iter().any(|gone| gone == uid));
        if !gone && !inner.objects.get(&key).is_some_and(|here| is_newer(here, &object)) {
            inner.put(key, object);
        }
    }

    /// Forgets an object.
    pub fn remove(&self, key: &Key) {
        self.write().take(key);
    }

    /// Forgets every object of a kind that a list did not have. Returns what is forgotten.
    pub fn retain(&self, kind: Kind, listed: &BTreeSet<Key>) -> Vec<Key> {
        let mut inner = self.write();
        let own = inner.objects.keys().filter(|key| key.kind == kind && !listed.contains(key));
        let gone: Vec<Key> = own.cloned().collect();
        for key in &gone {
            inner.take(key);
        }
        gone
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As it is kept.
fn prepared(kind: Kind, mut object: Json) -> Json {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // Half of an object's size, and nothing that is decided by.
        metadata.remove("managedFields");
    }
    // A list of Kubernetes' own kinds does not say of each item what it is. What is desired says it, and would be missed.
    let resource = kind.resource();
    (object["apiVersion"], object["kind"]) = (resource.api_version.into(), resource.kind.into());
    object
}

/// Whether both are one state of one object.
fn is_same_state(here: &Json, offered: &Json) -> bool {
    let (here, offered) = (&here["metadata"], &offered["metadata"]);
    here["uid"] == offered["uid"]
        && here["resourceVersion"].is_string()
        && here["resourceVersion"] == offered["resourceVersion"]
}

/// Whether `here` is a later state of the same object than `offered`.
fn is_newer(here: &Json, offered: &Json) -> bool {
    let version =
        |object: &Json| object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
    let same = here["metadata"]["uid"] == offered["metadata"]["uid"];
    same && matches!((version(here), version(offered)), (Some(here), Some(offered)) if here > offered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(namespace: &str, name: &str, version: u64) -> Json {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": "u", "resourceVersion": version.to_string()}})
    }

    #[test]
    fn a_watch_that_lags_does_not_undo_the_answer_to_a_write() {
        let cache = Cache::default();
        cache.insert(Kind::Secret, object("a", "s", 9));
        cache.insert(Kind::Secret, object("a", "s", 8));
        assert_eq!(cache.get(Kind::Secret, "a", "s").unwrap()["metadata"]["resourceVersion"], "9");
        cache.insert(Kind::Secret, object("a", "s", 10));
        assert_eq!(cache.get(Kind::Secret, "a", "s").unwrap()["metadata"]["resourceVersion"], "10");
    }

    #[test]
    fn what_an_answer_has_said_is_no_news_and_what_came_before_it_is() {
        let cache = Cache::default();
        assert!(cache.insert(Kind::Strategy, object("a", "s", 7)).1);
        cache.answered(Kind::Strategy, object("a", "s", 9));
        assert!(cache.insert(Kind::Strategy, object("a", "s", 8)).1, "somebody's change before the write");
        assert!(!cache.insert(Kind::Strategy, object("a", "s", 9)).1);
        assert!(cache.insert(Kind::Strategy, object("a", "s", 10)).1);
    }

    #[test]
    fn an_answer_that_comes_after_its_objects_end_does_not_bring_it_back() {
        let cache = Cache::default();
        let (key, _) = cache.insert(Kind::Strategy, object("a", "s", 9));
        cache.remove(&key);
        cache.answered(Kind::Strategy, object("a", "s", 10));
        assert_eq!((cache.get(Kind::Strategy, "a", "s"), cache.count(Kind::Strategy)), (None, 0));
        // Another of the same name is another.
        let mut next = object("a", "s", 12);
        next["metadata"]["uid"] = json!("v");
        cache.answered(Kind::Strategy, next);
        assert_eq!(cache.count(Kind::Strategy), 1);
    }

    #[test]
    fn a_list_that_lags_and_has_less_takes_nothing_away_for_ever() {
        let cache = Cache::default();
        cache.insert(Kind::Strategy, object("a", "s", 9));
        cache.retain(Kind::Strategy, &BTreeSet::new());
        cache.insert(Kind::Strategy, object("a", "s", 9));
        assert_eq!(cache.count(Kind::Strategy), 1);
    }

    #[test]
    fn what_an_object_is_is_known_though_a_list_does_not_say_it_of_its_items() {
        let cache = Cache::default();
        cache.insert(Kind::StatefulSet, object("a", "s", 1));
        let kept = cache.get(Kind::StatefulSet, "a", "s").unwrap();
        assert_eq!((&kept["apiVersion"], &kept["kind"]), (&json!("apps/v1"), &json!("StatefulSet")));
    }

    #[test]
    fn a_list_is_of_one_kind_and_one_tenant() {
        let cache = Cache::default();
        for (kind, namespace, name) in
            [(Kind::Secret, "a", "2"), (Kind::Secret, "a", "1"), (Kind::Secret, "b", "3"), (Kind::Service, "a", "4")]
        {
            cache.insert(kind, object(namespace, name, 1));
        }
        let names: Vec<String> =
            cache.list(Kind::Secret, "a").iter().map(|o| o["metadata"]["name"].as_str().unwrap().into()).collect();
        assert_eq!(names, ["1", "2"]);
        assert_eq!(
            (cache.all(Kind::Secret).len(), cache.all(Kind::Service).len(), cache.all(Kind::Pod).len()),
            (3, 1, 0)
        );
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone() {
        let cache = Cache::default();
        let (kept, _) = cache.insert(Kind::Secret, object("a", "1", 1));
        cache.insert(Kind::Secret, object("a", "2", 1));
        cache.insert(Kind::Service, object("a", "3", 1));
        let gone = cache.retain(Kind::Secret, &BTreeSet::from([kept]));
        assert_eq!(gone.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["2"]);
        assert_eq!((cache.count(Kind::Secret), cache.count(Kind::Service)), (1, 1));
    }
}
