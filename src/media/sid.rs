//! The vendor's identifiers: two letters that name the kind, and 32 hexadecimal digits.

/// Whether `text` is a SID of the kind that `prefix` names.
pub(super) fn is_sid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether `text` is the SID of an account, `AC…`.
#[must_use]
pub fn is_account_sid(text: &str) -> bool {
    is_sid("AC", text)
}

/// Whether `text` is the SID of an API key, `SK…`.
#[must_use]
pub fn is_api_key_sid(text: &str) -> bool {
    is_sid("SK", text)
}

#[cfg(test)]
mod tests {
    use super::{is_account_sid, is_api_key_sid, is_sid};

    #[test]
    fn an_accounts_is_no_keys() {
        let [account, key] = ["AC", "SK"].map(|kind| format!("{kind}{}", "0".repeat(32)));
        assert!(is_account_sid(&account) && is_api_key_sid(&key) && !is_account_sid(&key) && !is_api_key_sid(&account));
    }

    #[test]
    fn only_the_named_kind_with_32_hexadecimal_digits_is_a_sid() {
        assert!(is_sid("VJ", "VJ0123456789abcdef0123456789ABCDEF"));
        for text in [
            "",
            "VJ",
            "AC0123456789abcdef0123456789abcdef",
            "vj0123456789abcdef0123456789abcdef",
            "VJ0123456789abcdef0123456789abcde",
            "VJ0123456789abcdef0123456789abcdef0",
            "VJ0123456789abcdef0123456789abcdeg",
            "VJ0123456789abcdef0123456789abcde\n",
            "VJ0123456789abcdef0123456789abcdé",
        ] {
            assert!(!is_sid("VJ", text), "{text:?}");
        }
    }
}
