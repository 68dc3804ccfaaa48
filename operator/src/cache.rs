//! What Kubernetes has, as the watches last said: JSON by kind, namespace and name.

use std::collections::{BTreeMap, BTreeSet};
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

/// All objects that are watched.
#[derive(Debug, Default)]
pub struct Cache {
    objects: RwLock<BTreeMap<Key, Arc<Json>>>,
}

impl Cache {
    /// An object.
    #[must_use]
    pub fn get(&self, kind: Kind, tenant: &str, name: &str) -> Option<Arc<Json>> {
        let key = Key { kind, tenant: tenant.to_owned(), name: name.to_owned() };
        self.read().get(&key).cloned()
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
        let objects = self.read();
        let own = objects.range(first..).take_while(|(key, _)| key.kind == kind && key.tenant == tenant);
        own.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Arc<Json>> {
        let first = Key { kind, tenant: String::new(), name: String::new() };
        let objects = self.read();
        let own = objects.range(first..).take_while(|(key, _)| key.kind == kind);
        own.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Every tenant that something belongs to.
    #[must_use]
    pub fn tenants(&self) -> BTreeSet<String> {
        self.read().keys().map(|key| key.tenant.clone()).collect()
    }

    /// How many there are of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.read().keys().filter(|key| key.kind == kind).count()
    }

    /// Takes an object, unless a later state of it is here: a watch lags behind the answers to writes.
    pub fn insert(&self, kind: Kind, mut object: Json) -> Key {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            // Half of an object's size, and nothing that is decided by.
            metadata.remove("managedFields");
        }
        let key = Key::of(kind, &object);
        let mut objects = self.write();
        let newer = objects.get(&key).is_some_and(|here| is_newer(here, &object));
        if !newer {
            objects.insert(key.clone(), Arc::new(object));
        }
        key
    }

    /// Forgets an object.
    pub fn remove(&self, key: &Key) {
        self.write().remove(key);
    }

    /// Forgets every object of a kind that a list did not have. Returns what is forgotten.
    pub fn retain(&self, kind: Kind, listed: &BTreeSet<Key>) -> Vec<Key> {
        let mut objects = self.write();
        let gone: Vec<Key> = objects.keys().filter(|key| key.kind == kind && !listed.contains(key)).cloned().collect();
        for key in &gone {
            objects.remove(key);
        }
        gone
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Arc<Json>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, Arc<Json>>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
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
        let kept = cache.insert(Kind::Secret, object("a", "1", 1));
        cache.insert(Kind::Secret, object("a", "2", 1));
        cache.insert(Kind::Service, object("a", "3", 1));
        let gone = cache.retain(Kind::Secret, &BTreeSet::from([kept]));
        assert_eq!(gone.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["2"]);
        assert_eq!((cache.count(Kind::Secret), cache.count(Kind::Service)), (1, 1));
    }
}
