//! A place in a file's tree: what stands there, typed, and how to complain about it.
//!
//! Three answers, because the schema check may have taken the value out: it is given, it is absent (and then its default
//! holds), or nobody knows. A rule that needs an unknown value says nothing, so one mistake never causes a second report.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::error::{SpecError, with_index, with_key};
use crate::yaml::{Node, Scalar, ScalarKind, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given<T> {
    Value(T),
    Absent,
    Unknown,
}

impl<T> Given<T> {
    /// The value, or `default` where the field is absent; `None` where nobody knows.
    pub(crate) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent => Some(default),
            Self::Unknown => None,
        }
    }

    /// The value, where there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// A place in the tree.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> At<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new() }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The field called `name`, if the file gives it (and not as null).
    pub(crate) fn field(&self, name: &str) -> Option<At<'a>> {
        let Value::Mapping(entries) = &self.node.value else {
            return None;
        };
        let node = &entries.iter().find(|entry| entry.key == name)?.node;
        let is_null = matches!(&node.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }));
        if is_null { None } else { Some(At { node, path: with_key(&self.path, name) }) }
    }

    /// The entries of the list called `name`; none where it is absent or unknown.
    pub(crate) fn items(&self, name: &str) -> Vec<At<'a>> {
        let Some(list) = self.field(name) else {
            return Vec::new();
        };
        let Value::Sequence(items) = &list.node.value else {
            return Vec::new();
        };
        items.iter().enumerate().map(|(i, node)| At { node, path: with_index(&list.path, i) }).collect()
    }

    /// Whether some part of what stands here was at fault.
    pub(crate) fn is_unknown(&self) -> bool {
        to_json(self.node).is_none()
    }

    /// What stands here.
    pub(crate) fn here<T: DeserializeOwned>(&self) -> Given<T> {
        let value = to_json(self.node).and_then(|json| serde_json::from_value(json).ok());
        value.map_or(Given::Unknown, Given::Value)
    }

    /// What the field called `name` holds.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Given<T> {
        match (self.field(name), &self.node.value) {
            (Some(field), _) => field.here(),
            (None, Value::Refused) => Given::Unknown,
            (None, _) => Given::Absent,
        }
    }

    /// The mistake that stands here.
    pub(crate) fn error(&self, problem: impl Into<String>, fix: impl Into<String>) -> SpecError {
        SpecError {
            line: self.node.line,
            column: self.node.column,
            field: self.path.clone(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// The mistake that stands in the field called `name`, or here where the file does not give it.
    pub(crate) fn error_in(&self, name: &str, problem: impl Into<String>, fix: impl Into<String>) -> SpecError {
        self.field(name).as_ref().unwrap_or(self).error(problem, fix)
    }
}

/// The tree as JSON, for serde; `None` where part of it was taken out.
pub(crate) fn to_json(node: &Node) -> Option<Json> {
    match &node.value {
        Value::Refused => None,
        Value::Scalar(scalar) => Some(match scalar.kind {
            ScalarKind::Null => Json::Null,
            ScalarKind::Bool(value) => Json::Bool(value),
            // No field of ours is wider than these two; the schema check has refused what is.
            ScalarKind::Int(value) => match u64::try_from(value) {
                Ok(value) => Json::from(value),
                Err(_) => Json::from(i64::try_from(value).ok()?),
            },
            // Only kept where Kubernetes' metadata, which nothing here reads, holds one.
            ScalarKind::Float | ScalarKind::Yaml11Bool | ScalarKind::String => Json::from(scalar.text.as_str()),
        }),
        Value::Sequence(items) => items.iter().map(to_json).collect::<Option<Vec<_>>>().map(Json::Array),
        Value::Mapping(entries) => {
            let fields = entries.iter().map(|entry| Some((entry.key.clone(), to_json(&entry.node)?)));
            fields.collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}
