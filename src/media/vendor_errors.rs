//! The Media API's errors, by HTTP status and vendor code: what each means, and what to do.
//!
//! From the vendor's error dictionary and the error bodies among its helper libraries' fixtures; see `docs/media-api.md`.

/// An error in words: status, code, what they mean, what to do. Only the two numbers come from the answer.
pub(super) fn describe(status: u16, code: Option<u32>) -> String {
    let code_part = code.map(|code| format!(" (code {code})")).unwrap_or_default();
    let meaning = code.and_then(meaning_of_code).unwrap_or_else(|| meaning_of_status(status));
    format!("answered {status}{code_part}, {meaning}: {}", remedy(status))
}

fn meaning_of_code(code: u32) -> Option<&'static str> {
    Some(match code {
        20001 => "a parameter is unknown or invalid",
        20003 => "the credentials are wrong or may not do this",
        20004 => "the method is not allowed",
        20005 => "the account is not active",
        20006 => "access is denied",
        20008 => "test credentials can't do this",
        20010 => "the action is disabled for the account",
        20403 => "the account may not do this",
        20404 => "there is no such PlayerStreamer",
        20409 => "it conflicts with the PlayerStreamer's state",
        20410 => "the API is gone",
        20422 => "a parameter is invalid",
        20423 => "the resource is locked or can't take the parameter",
        20426 => "TLS 1.2 or later is required",
        20429 => "too many requests at once",
        20500 => "the server failed",
        20503 => "the server is out of service",
        _ => return None,
    })
}

fn meaning_of_status(status: u16) -> &'static str {
    match status {
        300..400 => "a redirect, which is not followed, for credentials go to one place only",
        400 => "the request is invalid",
        401 => "the credentials are wrong",
        403 => "these credentials may not do this",
        404 => "there is no such PlayerStreamer",
        405 => "the method is not allowed",
        407 => "a proxy asks for credentials of its own",
        409 => "it conflicts with the PlayerStreamer's state",
        410 => "the API is gone",
        422 => "a parameter is invalid",
        426 => "a later version of TLS or HTTP is required",
        429 => "too many requests at once",
        402..500 => "the request was refused",
        500 => "the server failed",
        502 => "a gateway could not reach the server",
        503 => "the server is out of service",
        504 => "a gateway got no answer from the server",
        501..600 => "the server is in trouble",
        _ => "a status that HTTP doesn't define",
    }
}

fn remedy(status: u16) -> &'static str {
    match status {
        300..400 => "set the Media API's URL to where it redirects to",
        400 | 422 => "check the PlayerStreamer's SID, the TTL and the origin",
        401 => "check user and password, and that both are of the same API key or account",
        403 => "check the account's state and what the API key may do",
        404 | 410 => "check the PlayerStreamer's SID, that it is of this account, and the Media API's URL",
        405 => "check the Media API's URL",
        407 => "put the proxy's user and password into the environment's proxy variable",
        409 => "check the PlayerStreamer's state",
        426 => "check the proxies on the way to the Media API",
        429 => "calls are slowed down; if this lasts, ask the vendor for a higher limit or use longer TTLs",
        400..500 => "check the Media API's URL and the proxies on the way there",
        _ => "the call is made again; if this lasts, look at the Media API's state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_known_of_a_code_or_a_status_is_said() {
        for code in [20001, 20003, 20004, 20005, 20006, 20008, 20010, 20403, 20404, 20409, 20410, 20422, 20423, 20426, 20429, 20500, 20503]
        {
            assert!(!describe(599, Some(code)).contains(meaning_of_status(599)), "{code}");
        }
        assert!(describe(599, Some(20_002)).contains(meaning_of_status(599)));
        for status in [302, 400, 401, 403, 404, 405, 407, 409, 410, 422, 426, 429] {
            assert!(meaning_of_status(status) != meaning_of_status(418) && remedy(status) != remedy(418), "{status}");
            assert_ne!(remedy(status), remedy(599), "{status}: to call again mends nothing");
        }
        for status in [500, 502, 503, 504] {
            assert_ne!(meaning_of_status(status), meaning_of_status(599), "{status}");
        }
        assert_ne!(remedy(418), remedy(599));
        for status in 300..600 {
            assert_ne!(meaning_of_status(status), meaning_of_status(999), "{status}: HTTP defines its kind");
        }
        assert_ne!(meaning_of_status(418), meaning_of_status(599));
    }

    #[test]
    fn every_status_and_code_has_a_text_of_its_own_that_shows_both() {
        let codes = [None, Some(20003), Some(20429), Some(999_999)];
        let all: Vec<_> = (100..1000).flat_map(|status| codes.map(|code| (status, code))).collect();
        let texts: BTreeSet<_> = all.iter().map(|&(status, code)| describe(status, code)).collect();
        assert_eq!(texts.len(), all.len());
        for (status, code) in all {
            let text = describe(status, code);
            assert!(text.contains(&format!("answered {status}")) && text.contains(": "), "{text}");
            assert!(code.is_none_or(|code| text.contains(&format!("code {code}"))), "{text}");
        }
    }
}
