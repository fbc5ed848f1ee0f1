//! The proxies that the environment names.

use reqwest::Url;
use thiserror::Error;

/// Each also in small letters.
const VARIABLES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];

/// Why a proxy can't be used. Its value isn't shown: a password may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProxyProblem {
    /// It isn't a URL. The HTTP client would call without a proxy.
    #[error("{0} is no proxy's URL: write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")]
    NoUrl(String),
    /// It is spoken to in another way.
    #[error("{0} names a proxy that can't be used: http:// and https:// proxies can, others, such as socks5://, can't")]
    Unknown(String),
}

/// Whether what the environment names can be used; `variable` gives what one is set to.
pub(super) fn check(variable: impl Fn(&str) -> Option<String>) -> Result<(), ProxyProblem> {
    for name in VARIABLES.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()]) {
        let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
        let value = if value.contains("://") { value } else { format!("http://{value}") };
        let Ok(url) = Url::parse(&value) else { return Err(ProxyProblem::NoUrl(name)) };
        if !["http", "https"].contains(&url.scheme()) {
            return Err(ProxyProblem::Unknown(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proxy_is_refused_by_its_variables_name_alone() {
        for fine in ["", "proxy", "proxy:3128", "http://proxy:3128", "https://user:word@proxy", "http://[::1]:3128"] {
            assert_eq!(check(|_| Some(fine.to_owned())), Ok(()), "{fine}");
        }
        assert_eq!(check(|_| None), Ok(()));
        for (wrong, problem) in [
            ("http://user:planted@:bad", ProxyProblem::NoUrl as fn(String) -> ProxyProblem),
            ("http://user:planted@proxy:99999", ProxyProblem::NoUrl),
            ("planted proxy", ProxyProblem::NoUrl),
            ("http://", ProxyProblem::NoUrl),
            ("socks5://planted:1080", ProxyProblem::Unknown),
        ] {
            for set in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
                let found = check(|name| (name == set).then(|| wrong.to_owned()));
                assert_eq!(found, Err(problem(set.to_owned())), "{wrong}");
                assert!(!found.unwrap_err().to_string().contains("planted"));
            }
        }
        assert_eq!(check(|name| (name == "NO_PROXY").then(|| "planted proxy".to_owned())), Ok(()));
    }
}
