//! What is told of the API server's words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// So many characters of a secret in a row tell it from chance.
const TELLING: usize = 12;

/// The server's words, unless they quote one of the secrets: a webhook may say anything.
pub(super) fn withhold<'a, 's>(words: &'a str, secrets: impl IntoIterator<Item = &'s SecretString>) -> &'a str {
    let quotes = |secret: &SecretString| {
        let secret = secret.expose_secret();
        let encoded = Zeroizing::new(STANDARD.encode(secret));
        [secret, &encoded]
            .into_iter()
            .any(|text| text.as_bytes().windows(TELLING).any(|part| words.as_bytes().windows(TELLING).any(|said| said == part)))
    };
    if secrets.into_iter().any(quotes) { "its words quote the Secret and are withheld" } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_quote_a_secret_are_withheld() {
        let secrets: [SecretString; 2] =
            ["https://play.example/?token=abcdefghijklmnop".into(), "eyJjdHkiOiJ0d2lsaW8.claims-of-a-token.signature".into()];
        assert_eq!(withhold("exceeded quota: secrets", &secrets), "exceeded quota: secrets");
        for quoting in
            ["denied: token=abcdefghijkl", "denied: aHR0cHM6Ly9wbGF5LmV4YW1wbGUv", "denied: claims-of-a-token", "ZXlKamRIa2lPaUowZDJ"]
        {
            assert_eq!(withhold(quoting, &secrets), "its words quote the Secret and are withheld", "{quoting}");
            assert_eq!(withhold(quoting, []), quoting);
        }
    }
}
