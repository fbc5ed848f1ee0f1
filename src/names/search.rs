//! The full names that a name may stand for.

use hickory_resolver::proto::rr::Name;

/// The names to ask for, in order: with a dot at its end a name stands for itself; with at least `ndots` dots it is first taken as it is,
/// else last. A pod's search list makes `media` find the Service of that name in its own namespace.
pub(super) fn candidates(host: &str, search: &[Name], ndots: usize) -> Vec<Name> {
    let Ok(name) = Name::from_str_relaxed(host) else { return Vec::new() };
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if host.ends_with('.') {
        return vec![itself];
    }
    let mut names: Vec<_> = search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
    for name in &mut names {
        name.set_fqdn(true);
    }
    let first = host.matches('.').count() >= ndots;
    names.insert(if first { 0 } else { names.len() }, itself);
    names
}

#[cfg(test)]
mod tests {
    use super::candidates;
    use hickory_resolver::proto::rr::Name;

    fn asked(host: &str, ndots: usize) -> Vec<String> {
        let search = ["web.svc.cluster.local", "cluster.local."].map(|domain| Name::from_str_relaxed(domain).unwrap());
        candidates(host, &search, ndots).iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_short_name_is_searched_for_before_it_is_taken_as_it_is() {
        assert_eq!(asked("media", 5), ["media.web.svc.cluster.local.", "media.cluster.local.", "media."]);
        assert_eq!(asked("media.web.svc", 5).first().unwrap(), "media.web.svc.web.svc.cluster.local.");
    }

    #[test]
    fn a_name_with_dots_enough_is_taken_as_it_is_before_it_is_searched_for() {
        assert_eq!(
            asked("media.example.com", 2),
            ["media.example.com.", "media.example.com.web.svc.cluster.local.", "media.example.com.cluster.local."]
        );
    }

    #[test]
    fn a_full_name_is_asked_for_alone() {
        assert_eq!(asked("media.example.com.", 5), ["media.example.com."]);
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        assert!(asked(&"a".repeat(64), 1).is_empty());
        assert!(asked("a..b", 1).is_empty());
    }
}
