//! Labels or annotations, and which of them the operator put there.

use std::borrow::Cow;

use litemap::LiteMap;

use crate::api::names::kept;

/// Labels or annotations, by key. A list, in the order of the keys: there are a few of each Secret's, and a tree would take room for eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(LiteMap<Cow<'static, str>, Field>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    value: Box<str>,
    own: bool,
}

impl Fields {
    /// All that are there, of which the operator put those there that `is_own` tells of.
    pub fn new<K: Into<Cow<'static, str>>>(all: impl IntoIterator<Item = (K, String)>, is_own: impl Fn(&str) -> bool) -> Self {
        let field = |(key, value): (K, String)| {
            let key = key.into();
            let own = is_own(&key);
            (kept(key), Field { value: value.into_boxed_str(), own })
        };
        let mut all = all.into_iter().map(field).collect::<LiteMap<_, _>>().into_tuple_vec();
        all.shrink_to_fit();
        Self(LiteMap::from_sorted_store_unchecked(all))
    }

    /// The value of the one with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|field| &*field.value)
    }

    /// Whether there is one with that key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether the operator put that one there, by the API server's own record.
    #[must_use]
    pub fn is_own(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|field| field.own)
    }

    /// The keys of those that the operator put there.
    pub fn own_keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, field)| field.own).map(|(key, _)| &**key)
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, field)| (&**key, &*field.value))
    }

    /// Somebody sets one; `own`: the operator. What was there already stays whose it was.
    pub fn set(&mut self, key: &str, value: &str, own: bool) {
        if self.get(key) != Some(value) {
            self.0.insert(kept(Cow::Borrowed(key)), Field { value: value.into(), own });
        }
    }

    /// Takes one off.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Takes all off.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sets_a_value_owns_it_unless_it_was_there() {
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut fields = Fields::new([of("b", "1"), of("a", "2"), of("c", "3")], |key| key == "b");
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "1"), ("c", "3")]);
        fields.set("b", "1", false);
        fields.set("a", "2", true);
        assert_eq!(fields.own_keys().collect::<Vec<_>>(), ["b"]);
        fields.set("b", "4", false);
        fields.set("a", "5", true);
        fields.set("d", "6", true);
        assert_eq!(fields.own_keys().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(
            ["a", "b", "e"].map(|key| (fields.get(key), fields.is_own(key))),
            [(Some("5"), true), (Some("4"), false), (None, false)]
        );
        fields.remove("d");
        assert!(!fields.contains_key("d") && fields.contains_key("c"));
        fields.clear();
        assert_eq!(fields, Fields::default());
    }
}
