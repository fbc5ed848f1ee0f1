//! Where a token and a key come from: Secrets, files, standard input; never the command line.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::DecodeArgs;
use crate::api::names::key;
use crate::api::syntax::is_dns_subdomain;
use crate::cli::cluster;
use crate::controller::api::{ApiFailure, ApiServer, ReadSecret, SecretData, text};
use crate::media::Credentials;
use crate::token::{SigningKey, form_carried};

/// The longest token or key that is read, bytes: no header carries more.
const LONGEST: u64 = 1024 * 1024;

/// A person waits for so long.
const API_SERVER_LIMIT: Duration = Duration::from_secs(10);

/// A token, and what is to be known of it.
pub(super) struct Found {
    pub(super) token: SecretString,
    /// Where it was found, for a person.
    pub(super) place: String,
    /// The grant in the same Secret.
    pub(super) beside: Option<Beside>,
    pub(super) key: Option<Key>,
}

/// The grant beside a token.
pub(super) struct Beside {
    /// Whether it is the one in the token.
    pub(super) is_carried: bool,
    /// When it expires, where the Secret says so.
    pub(super) expiry_time: Option<Timestamp>,
}

/// The key that is to have signed a token.
pub(super) struct Key {
    /// Where it was found, for a person.
    pub(super) place: String,
    /// Its SID, where that is known.
    pub(super) sid: Option<String>,
    pub(super) secret: SecretString,
}

impl Key {
    /// The key; where nothing else says whose it is, the one that the token names.
    pub(super) fn signing_key(&self, issuer: Option<&str>) -> SigningKey {
        SigningKey::new(self.sid.as_deref().or(issuer).unwrap_or_default(), self.secret.clone())
    }
}

/// Takes a Secret's name.
pub(super) fn parse_name(text: &str) -> Result<String, &'static str> {
    let fits = is_dns_subdomain(text);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("give the name of a Secret, at most 253 lower case letters, digits, hyphens and dots: not the token or the key itself")
    }
}

pub(super) async fn find(arguments: &DecodeArgs) -> anyhow::Result<Found> {
    let DecodeArgs { secret, namespace, key_file, key_secret, show_secrets: _ } = arguments;
    let secrets = if secret.is_some() || key_secret.is_some() { Some(Secrets::open(namespace.as_deref()).await?) } else { None };
    let key = match (key_file, key_secret, &secrets) {
        (Some(file), ..) => Some(key_in_file(file)?),
        (None, Some(name), Some(secrets)) => Some(secrets.key(name).await?),
        _ => None,
    };
    match (secret, &secrets) {
        (Some(name), Some(secrets)) => {
            let (token, beside) = secrets.token(name).await?;
            Ok(Found { token, place: secrets.path(name), beside: Some(beside), key })
        }
        _ => Ok(Found { token: standard_input()?, place: "standard input".to_owned(), beside: None, key }),
    }
}

/// The Secrets of one namespace.
struct Secrets {
    server: ApiServer,
    /// The API server's address.
    at: String,
    namespace: String,
}

impl Secrets {
    async fn open(namespace: Option<&str>) -> anyhow::Result<Self> {
        let config = cluster::config().await?;
        let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
        let at = cluster::address(&config);
        Ok(Self { server: ApiServer::new(cluster::client(config)?).within(API_SERVER_LIMIT), at, namespace })
    }

    fn path(&self, name: &str) -> String {
        format!("Secret {}/{name}", self.namespace)
    }

    async fn read(&self, name: &str) -> anyhow::Result<SecretData> {
        match self.server.read(&self.namespace, name).await {
            Ok(ReadSecret { data, .. }) => Ok(data),
            Err(ApiFailure::NotFound) => bail!("{} does not exist: see the name, and the namespace (-n)", self.path(name)),
            Err(failure) => bail!("{} can't be read from {}: {}", self.path(name), self.at, failure.words()),
        }
    }

    async fn token(&self, name: &str) -> anyhow::Result<(SecretString, Beside)> {
        let data = self.read(name).await?;
        let text = |key: &str| text(&data, key);
        let token = text(key::ACCESS_TOKEN).with_context(|| {
            format!(
                "{} has no key {}: ask for one with spec.accessToken in its PlaybackGrantRequest, whose status says why where there is none",
                self.path(name),
                key::ACCESS_TOKEN
            )
        })?;
        let is_carried = text(key::GRANT).is_some_and(|grant| form_carried(token, grant).is_some());
        let expiry_time = text(key::EXPIRY_TIME).and_then(|time| time.parse().ok());
        Ok((SecretString::from(token), Beside { is_carried, expiry_time }))
    }

    async fn key(&self, name: &str) -> anyhow::Result<Key> {
        let data = self.read(name).await?;
        if data.contains_key(key::GRANT) {
            bail!("{} holds a grant: name the credentials Secret, the one in spec.credentialsSecretRef", self.path(name));
        }
        let credentials = Credentials::from_secret_data(|key| data.get(key).map(secrecy::ExposeSecret::expose_secret))
            .map_err(|error| anyhow!("{} can't be used: {error}", self.path(name)))?;
        let sid = credentials.api_key_sid().with_context(|| {
            format!(
                "{} has an account's SID and auth token, and only an API key signs tokens: name a Secret with apiKeySid and apiKeySecret",
                self.path(name)
            )
        })?;
        Ok(Key { place: self.path(name), sid: Some(sid.to_owned()), secret: credentials.password().clone() })
    }
}

fn standard_input() -> anyhow::Result<SecretString> {
    let input = std::io::stdin();
    if input.is_terminal() {
        // Standard error may be closed; then nobody reads this.
        let _ = writeln!(
            std::io::stderr(),
            "The token is read from standard input: paste it, then Enter and Ctrl-D (a terminal takes at most 4095 characters of a line)."
        );
    }
    let text = text_of(input.lock(), "standard input")?;
    let token = text.trim();
    if token.is_empty() {
        bail!("standard input is empty: give a token there, or name a Secret with --secret");
    }
    Ok(SecretString::from(token))
}

fn key_in_file(path: &Path) -> anyhow::Result<Key> {
    let place = path.display().to_string();
    let unreadable = || format!("--key-file: {place} can't be read");
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let text = text_of(file, &place).with_context(unreadable)?;
    // One newline is forgiven, as an editor leaves it.
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        bail!("--key-file: {place} is empty: put the API key's secret there");
    }
    if secret.trim() != secret || secret.chars().any(char::is_control) {
        bail!("--key-file: {place} has blanks or line breaks around or in the key: leave the API key's secret alone there");
    }
    Ok(Key { place, sid: None, secret: SecretString::from(secret) })
}

fn text_of(input: impl std::io::Read, place: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    input.take(LONGEST + 1).read_to_end(&mut bytes).with_context(|| format!("{place} can't be read"))?;
    if bytes.len() as u64 > LONGEST {
        bail!("{place} has more than {LONGEST} bytes, and so can't be what is looked for");
    }
    // Without the library's words, which tell where a text goes wrong but also what is there.
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| anyhow!("{place} isn't a text in UTF-8"))
}
