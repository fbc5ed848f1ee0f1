//! The search for secrets where none may be: logs, events, statuses, annotations, the audit log.
//!
//! Whatever is secret in a run bears a mark: credentials are [`planted`], grants carry the simulator's playback URL and token, and Access
//! Tokens and service account tokens begin each in their own way. The marks are searched for plain and in base64, whatever stands before them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use memchr::memmem;
use playback_grant_testbed::ControlPlane;

const PLANTED: &str = "planted-value-";

/// What every secret begins with, or has in it.
const MARKS: [&str; 5] = [PLANTED, "playback.invalid/playback?token=", "sim1.1", "eyJhbGciOiJ", "eyJjdHkiOiJ0d2ls"];

/// A secret value that the search finds.
pub fn planted(name: &str) -> String {
    format!("{PLANTED}{name}")
}

/// What the marks look like, plain and in base64.
pub struct Search {
    needles: Vec<(&'static str, Vec<u8>)>,
}

impl Search {
    /// A search that has been shown to find each mark, in the midst of other text, plain and in base64 at every offset.
    pub fn shown_to_find() -> Result<Self> {
        let needles = MARKS.into_iter().flat_map(|mark| looks(mark.as_bytes()).into_iter().map(move |look| (mark, look))).collect();
        let search = Self { needles };
        for mark in MARKS {
            for before in ["", "a", "ab", "abc"] {
                let text = format!("{before}{mark}00");
                let bytes = text.as_bytes().iter().map(u8::to_string).collect::<Vec<_>>();
                for planted in [text.clone(), STANDARD.encode(&text), URL_SAFE.encode(&text), bytes.join(", "), bytes.join(",")] {
                    let log = format!("INFO something else\nDEBUG body={{\"x\":\"{planted}\"}}\n");
                    let found = search.find("a log", log.as_bytes());
                    ensure!(!found.is_empty(), "the search doesn't find {mark:?} with {before:?} before it, plain or in base64");
                }
            }
        }
        ensure!(search.find("a log", b"INFO nothing here").is_empty(), "the search finds what isn't there");
        Ok(search)
    }

    /// Where a mark is found, as `place:line`; what stands there is not told.
    pub fn find(&self, place: &str, text: &[u8]) -> Vec<String> {
        let line = |at: usize| text.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let found = self.needles.iter().filter_map(|(mark, needle)| Some((mark, memmem::find(text, needle)?)));
        found.map(|(mark, at)| format!("{place}:{} holds what is marked by {mark:?}", line(at))).collect()
    }

    /// Looks through a file; gives its size too.
    fn file(&self, path: &Path) -> Result<(usize, Vec<String>)> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok((text.len(), self.find(&path.display().to_string(), &text)))
    }
}

/// The bytes that `mark` leaves in a text: itself, its bytes as numbers, and what is the same of its base64 whatever stands around it, at each
/// of three offsets.
fn looks(mark: &[u8]) -> Vec<Vec<u8>> {
    let encoded = (0..3_usize).map(|offset| {
        let mut text = vec![0; offset];
        text.extend_from_slice(mark);
        let (from, to) = ((offset * 8).div_ceil(6), text.len() * 8 / 6);
        [STANDARD.encode(&text), URL_SAFE.encode(&text)].map(|encoded| encoded.as_bytes()[from..to].to_vec())
    });
    let numbers = mark.iter().map(u8::to_string).collect::<Vec<_>>();
    let listed = [", ", ","].map(|between| numbers.join(between).into_bytes());
    std::iter::once(mark.to_vec()).chain(listed).chain(encoded.flatten()).collect()
}

/// Searches everything that a whole run has left: the operators' logs, the audit log, and in the cluster all events, requests and Secrets'
/// metadata. Gives what was searched, and fails where anything is found.
pub async fn search_everything(plane: &ControlPlane) -> Result<String> {
    let search = Search::shown_to_find()?;
    ensure_finds_the_real(&search, plane).await?;
    let (mut found, mut files, mut bytes) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(plane.folder())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log && (name.starts_with("operator-") || name == "audit.log") {
            let (size, there) = search.file(&path)?;
            found.extend(there);
            files += 1;
            bytes += size;
        }
    }
    ensure!(files > 1 && bytes > 100_000, "only {files} files of {bytes} bytes were there to be searched");
    for path in ["/api/v1/events", "/apis/events.k8s.io/v1/events", "/apis/playbackgrant.dev/v1alpha1/playbackgrantrequests"] {
        let text = text(&plane.admin(), path).await?;
        bytes += text.len();
        found.extend(search.find(path, text.as_bytes()));
    }
    let secrets = Api::<Secret>::all(plane.admin()).list_metadata(&ListParams::default()).await?;
    let metadata = serde_json::to_vec(&secrets)?;
    found.extend(search.find("Secrets' metadata", &metadata));
    ensure!(found.is_empty(), "secrets where none may be: {}", found.join("; "));
    Ok(format!("no secret in {files} logs ({} MB), events, statuses and metadata", bytes / 1_000_000))
}

/// Checks that the search finds the run's own secrets: each grant, playback URL and credential in the cluster, plain and in base64, and the
/// tokens that the operators prove themselves by.
async fn ensure_finds_the_real(search: &Search, plane: &ControlPlane) -> Result<()> {
    const SECRET_KEYS: [&str; 5] = ["grant", "playbackUrl", "accessToken", "apiKeySecret", "authToken"];
    let mut seen = 0;
    for secret in Api::<Secret>::all(plane.admin()).list(&ListParams::default()).await? {
        let is_ours = secret.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"));
        let name = secret.metadata.name.unwrap_or_default();
        for (key, value) in secret.data.into_iter().flatten().filter(|(key, _)| SECRET_KEYS.contains(&key.as_str())) {
            // A test may have put something else under a grant's key of a Secret that isn't the operator's.
            if is_ours || key == "apiKeySecret" || key == "authToken" {
                let encoded = STANDARD.encode(&value.0);
                let finds = [value.0.as_slice(), encoded.as_bytes()].into_iter().all(|text| !search.find("a Secret", text).is_empty());
                ensure!(finds, "the search would not find the {key} of the Secret {name}");
                seen += 1;
            }
        }
    }
    for entry in std::fs::read_dir(plane.folder())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("playback-grant-system-")) {
            ensure!(!search.file(&path)?.1.is_empty(), "the search would not find the token in {}", path.display());
            seen += 1;
        }
    }
    ensure!(seen > 3, "only {seen} secrets were there to be found");
    Ok(())
}

async fn text(admin: &Client, path: &str) -> Result<String> {
    Ok(admin.request_text(http::Request::get(path).body(Vec::new())?).await?)
}
