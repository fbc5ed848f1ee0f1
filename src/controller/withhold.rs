//! What is told of the API server's words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// So many characters of a secret in a row tell it from chance.
const TELLING: usize = 12;

/// So long a run of what base64 is made of, in capitals, small letters and digits, is no name in Kubernetes: names have no capitals.
const LONGEST_RUN: usize = 40;

/// The server's words, unless they quote one of the secrets, or hold what may be one: a webhook may say anything, also of what was there before.
pub(super) fn withhold<'a, 's>(words: &'a str, secrets: impl IntoIterator<Item = &'s SecretString>) -> &'a str {
    let quotes = |secret: &SecretString| {
        let secret = secret.expose_secret();
        let encoded = Zeroizing::new(STANDARD.encode(secret));
        [secret, &encoded]
            .into_iter()
            .any(|text| text.as_bytes().windows(TELLING).any(|part| words.as_bytes().windows(TELLING).any(|said| said == part)))
    };
    if may_hold_a_secret(words) || secrets.into_iter().any(quotes) { "its words quote the Secret and are withheld" } else { words }
}

fn may_hold_a_secret(words: &str) -> bool {
    let runs = words.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')));
    runs.filter(|run| run.len() >= LONGEST_RUN).any(|run| {
        let has = |kind: fn(&u8) -> bool| run.as_bytes().iter().any(kind);
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_quote_a_secret_are_withheld() {
        let secrets: [SecretString; 2] =
            ["https://play.example/?token=abcdefghijklmnop".into(), "eyJjdHkiOiJ0d2lsaW8.claims-of-a-token.signature".into()];
        assert_eq!(withhold("exceeded quota: secrets", &secrets), "exceeded quota: secrets");
        for quoting in ["denied: abcdefghijkl", "denied: aHR0cHM6Ly9wbGF5LmV4YW1wbGUv", "denied: claims-of-a-token", "ZXlKamRIa2lPaUowZDJ"]
        {
            assert_eq!(withhold(quoting, &secrets), "its words quote the Secret and are withheld", "{quoting}");
            assert_eq!(withhold(quoting, []), quoting);
        }
        assert_eq!(withhold("denied: abcdefghijk", &secrets), "denied: abcdefghijk", "so few are by chance");
    }

    #[test]
    fn words_that_hold_what_may_be_a_secret_are_withheld_and_others_are_not() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9eyJzdWIi";
        for quoting in [token, &format!("denied: {token}.x"), &format!("denied: \"{token}\""), &STANDARD.encode(token)] {
            assert_eq!(withhold(quoting, []), "its words quote the Secret and are withheld", "{quoting}");
        }
        for fine in [
            "admission webhook \"require-labels-on-all-secrets-in-production.policies.example.com\" denied the request",
            "User \"system:serviceaccount:playback-grant-system-2:playback-grant-operator-controller-manager\" cannot patch resource \"secrets\"",
            "exceeded quota: count/secrets, requested: count/secrets=1, used: count/secrets=10, limited: count/secrets=10",
            "uid mismatch: 9b2f7c1e-4f8e-4a52-9a61-0d6f2f6f3c11, sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "requiredDuringSchedulingIgnoredDuringExecution must be set",
        ] {
            assert_eq!(withhold(fine, []), fine);
        }
    }
}
