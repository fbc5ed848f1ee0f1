//! The syntax of Kubernetes names, as the API server checks it.

/// Whether `text` is a DNS subdomain (RFC 1123, lower case): what names a Secret.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 253 && text.split('.').all(|label| has_edges(label, edge) && label.bytes().all(|b| edge(b) || b == b'-'))
}

/// Whether `text` is a qualified name, that is a label's key: a name, if needed after a DNS subdomain and a slash.
#[must_use]
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name(name),
        None => is_name(text),
    }
}

/// Whether `text` is an annotation's key: a qualified name, whose prefix may have capitals.
#[must_use]
pub fn is_annotation_key(text: &str) -> bool {
    is_qualified_name(&text.to_ascii_lowercase())
}

/// Whether `text` is a label's value: empty, or a name.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_alphanumeric();
    text.len() <= 63 && has_edges(text, edge) && text.bytes().all(|b| edge(b) || matches!(b, b'-' | b'_' | b'.'))
}

fn has_edges(text: &str, edge: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(&edge) && text.bytes().next_back().is_some_and(&edge)
}

#[cfg(test)]
mod tests {
    use super::{is_annotation_key, is_dns_subdomain, is_label_value, is_qualified_name};

    #[test]
    fn names_end_where_the_api_server_says() {
        assert!(is_dns_subdomain("a") && is_dns_subdomain("a-1.b") && is_dns_subdomain(&"a".repeat(253)));
        for wrong in ["", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a-.b", "ä"] {
            assert!(!is_dns_subdomain(wrong), "{wrong}");
        }
        assert!(!is_dns_subdomain(&"a".repeat(254)));
    }

    #[test]
    fn keys_have_at_most_one_prefix() {
        assert!(is_qualified_name("A_b.c-1") && is_qualified_name("example.com/App") && is_qualified_name(&"a".repeat(63)));
        for wrong in ["", "/", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a b", "ä"] {
            assert!(!is_qualified_name(wrong), "{wrong}");
        }
        assert!(!is_qualified_name(&"a".repeat(64)));
        assert!(is_annotation_key("Example.com/A") && !is_annotation_key("Example.com/a b"));
    }

    #[test]
    fn label_values_may_be_empty() {
        assert!(
            is_label_value("")
                && is_label_value("a.B_c-1")
                && !is_label_value("a/b")
                && !is_label_value("a-")
                && !is_label_value(&"a".repeat(64))
        );
    }
}
