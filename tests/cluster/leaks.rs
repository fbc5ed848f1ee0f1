//! The search for secrets where none may be: logs, events, statuses, annotations, the audit log.
//!
//! Whatever is secret in a run bears a mark: credentials are [`planted`], grants carry the simulator's playback URL and token, and service
//! account tokens begin as every JWT does. The marks are searched for plain and in base64, whatever stands before them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use memchr::memmem;
use playback_grant_testbed::ControlPlane;

const PLANTED: &str = "planted-value-";

/// What every secret begins with, or has in it.
const MARKS: [&str; 4] = [PLANTED, "playback.invalid/playback?token=", "sim1.1", "eyJhbGciOiJ"];

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
                for planted in [text.clone(), STANDARD.encode(&text)] {
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

/// The bytes that `mark` leaves in a text: itself, and what is the same of its base64 whatever stands around it, at each of three offsets.
fn looks(mark: &[u8]) -> Vec<Vec<u8>> {
    let encoded = (0..3_usize).map(|offset| {
        let mut text = vec![0; offset];
        text.extend_from_slice(mark);
        let (from, to) = ((offset * 8).div_ceil(6), text.len() * 8 / 6);
        STANDARD.encode(&text).as_bytes()[from..to].to_vec()
    });
    std::iter::once(mark.to_vec()).chain(encoded).collect()
}

/// Searches everything that a whole run has left: the operators' logs, the audit log, and in the cluster all events, requests and Secrets'
/// metadata. Gives what was searched, and fails where anything is found.
pub async fn search_everything(plane: &ControlPlane) -> Result<String> {
    let search = Search::shown_to_find()?;
    let (mut found, mut files, mut bytes) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(plane.folder())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("operator-") || name == "audit.log" {
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

async fn text(admin: &Client, path: &str) -> Result<String> {
    Ok(admin.request_text(http::Request::get(path).body(Vec::new())?).await?)
}
