//! What an object holds beside its metadata: kept as text, and decoded for as long as somebody looks at it.
//!
//! A decoded object takes ten times the memory of its text, and of ten thousand that are governed few are looked at in one
//! second.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

/// A JSON value that is decoded when somebody looks at it.
#[derive(Clone, Default)]
pub struct Content {
    /// Its text; nothing where only the value is known.
    text: Option<Arc<str>>,
    value: OnceLock<Value>,
}

impl Content {
    /// The object whose members have these texts, each of them JSON.
    pub(super) fn of<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::from("{");
        for (name, value) in members {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&Value::from(name).to_string());
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        Self { text: Some(text.into()), value: OnceLock::new() }
    }

    /// Changes the value.
    pub fn edit(&mut self, how: impl FnOnce(&mut Value)) {
        let mut value = self.value.take().unwrap_or_else(|| (**self).clone());
        how(&mut value);
        // The text says something else from now on.
        *self = value.into();
    }

    /// Keeps the text only.
    pub fn forget(&mut self) {
        if self.text.is_some() {
            self.value.take();
        }
    }
}

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        Self { text: None, value: value.into() }
    }
}

impl Deref for Content {
    type Target = Value;
    fn deref(&self) -> &Value {
        let decode = || self.text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        self.value.get_or_init(decode)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_forgotten_is_decoded_again_and_what_was_changed_is_kept() {
        let mut content = Content::of([("spec", "{\"replicas\":2}"), ("a\"b", "[1]")]);
        assert_eq!(*content, json!({"spec": {"replicas": 2}, "a\"b": [1]}));
        content.forget();
        assert_eq!(content.value.get(), None);
        assert_eq!(content["spec"]["replicas"], 2);
        content.edit(|content| content["spec"]["replicas"] = json!(3));
        content.forget();
        assert_eq!(content["spec"]["replicas"], 3, "no text says so");
        assert_eq!(*Content::of([]), json!({}));
    }
}
