//! Each reason that a condition may have, provoked; its kstatus, and a message that names object, cause and remedy.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::refusals::no_more_secrets;
use crate::stage::{A_WHILE, Stage, api_key, conditions, ensure_names, key_sid, message, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("reasons::each_failure_of_the_media_api_has_its_own", each_failure_of_the_media_api_has_its_own),
        test("reasons::a_failing_refresh_leaves_a_live_grant_ready", a_failing_refresh_leaves_a_live_grant_ready),
        test("reasons::issuing_until_the_first_answer", issuing_until_the_first_answer),
        test("reasons::grant_expired_while_nobody_was_there", grant_expired_while_nobody_was_there),
        test("reasons::credentials_that_are_missing_or_malformed", credentials_that_are_missing_or_malformed),
        test("reasons::a_secret_of_another_is_a_conflict", a_secret_of_another_is_a_conflict),
        test("reasons::a_quota_refuses_the_secret", a_quota_refuses_the_secret),
        test("reasons::suspended_once_the_grant_has_expired", suspended_once_the_grant_has_expired),
    ]
}

/// A failure of the Media API from the first call on.
struct Failure {
    /// What the simulator does to it.
    fault: &'static str,
    reason: &'static str,
    /// `Reconciling` or `Stalled`.
    progress: &'static str,
    /// What the message tells of cause and remedy.
    words: &'static [&'static str],
}

const AGAIN: &str = "the call is made again; if this lasts, look at the Media API's state";
const NO_MEDIA_API: &str = "check that the Media API's URL names a Media API";

const FAILURES: [Failure; 15] = [
    Failure {
        fault: "500",
        reason: "MediaApiUnavailable",
        progress: "Reconciling",
        words: &["answered 500 (code 20500), the server failed", AGAIN],
    },
    Failure {
        fault: "500,body=empty",
        reason: "MediaApiUnavailable",
        progress: "Reconciling",
        words: &["answered 500, the server failed", AGAIN],
    },
    Failure {
        fault: "503,body=html",
        reason: "MediaApiUnavailable",
        progress: "Reconciling",
        words: &["answered 503, the server is out", AGAIN],
    },
    Failure {
        fault: "reset",
        reason: "MediaApiUnavailable",
        progress: "Reconciling",
        words: &["the connection was closed", "look at the proxies"],
    },
    Failure {
        fault: "429,retry-after=1",
        reason: "MediaApiThrottled",
        progress: "Reconciling",
        words: &["answered 429", "too many requests at once", "calls are slowed down; if this lasts, ask the vendor"],
    },
    Failure { fault: "garbage", reason: "InvalidResponse", progress: "Reconciling", words: &["a body that is not JSON", NO_MEDIA_API] },
    Failure {
        fault: "null-grant",
        reason: "InvalidResponse",
        progress: "Reconciling",
        words: &["without a grant", "check the PlayerStreamer's state"],
    },
    Failure { fault: "wrong-types", reason: "InvalidResponse", progress: "Reconciling", words: &["is not a string", NO_MEDIA_API] },
    Failure {
        fault: "other-streamer",
        reason: "InvalidResponse",
        progress: "Reconciling",
        words: &["another PlayerStreamer", "look for a cache or a proxy"],
    },
    Failure {
        fault: "401",
        reason: "Unauthorized",
        progress: "Stalled",
        words: &["answered 401", "the credentials are wrong", "check user and password"],
    },
    Failure {
        fault: "403",
        reason: "Unauthorized",
        progress: "Stalled",
        words: &["answered 403", "may not do this", "check the account's state"],
    },
    Failure {
        fault: "404",
        reason: "PlayerStreamerNotFound",
        progress: "Stalled",
        words: &["answered 404", "no such PlayerStreamer", "check the PlayerStreamer's SID"],
    },
    Failure {
        fault: "410",
        reason: "PlayerStreamerNotFound",
        progress: "Stalled",
        words: &["answered 410", "the API is gone", "check the PlayerStreamer's SID"],
    },
    Failure {
        fault: "400",
        reason: "MediaApiRejected",
        progress: "Stalled",
        words: &["answered 400", "invalid", "check the PlayerStreamer's SID, the TTL and the origin"],
    },
    Failure {
        fault: "302",
        reason: "MediaApiRejected",
        progress: "Stalled",
        words: &["answered 302", "a redirect", "set the Media API's URL to where it redirects to"],
    },
];

async fn each_failure_of_the_media_api_has_its_own(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    // Each with credentials of its own: a lane that closes concerns nobody else.
    for (n, failure) in (1..).zip(FAILURES) {
        stage.fault(&format!("{}@{}", failure.fault, sid(n)))?;
        let credentials = format!("media-api-{n}");
        stage.credentials(&credentials, &api_key(n)).await?;
        stage.request(&format!("case-{n}"), n, &json!({"credentialsSecretRef": {"name": credentials}})).await?;
    }
    for (n, Failure { fault, reason, progress, words }) in (1..).zip(FAILURES) {
        let mut expected =
            [("Ready", "False"), ("RefreshFailing", "True"), (progress, "True")].map(|(kind, is)| format!("{kind}={is} {reason}"));
        expected.sort();
        let what = format!("{reason} for {fault}");
        let request = stage.reaches(&format!("case-{n}"), &what, |request| conditions(request) == expected).await?;
        let (url, credentials) = (stage.simulator.base_url(), format!("the credentials in Secret {}/media-api-{n}", stage.namespace));
        for condition in ["Ready", "RefreshFailing", progress] {
            ensure_names(&request, condition, words)?;
            ensure_names(&request, condition, &[&url, &format!("PlayerStreamer {}", sid(n)), &credentials])?;
        }
        ensure_names(&request, "RefreshFailing", &[&format!("Secret {}/case-{n} holds no unexpired grant", stage.namespace)])?;
        ensure!(status(&request).consecutive_failures > 0 && status(&request).grant.is_none(), "the status is {:?}", status(&request));
        ensure!(stage.secrets.get_opt(&format!("case-{n}")).await?.is_none(), "{fault} made a Secret");
    }
    stage.simulator.clear_faults();
    for n in 1..=u32::try_from(FAILURES.len())? {
        // A refusal is looked at slowly by itself; a wish doesn't wait for that.
        stage.annotate(&format!("case-{n}"), "playbackgrant.dev/refresh-requested-at", "mended").await?;
        stage.ready(&format!("case-{n}")).await?;
    }
    Ok(())
}

async fn a_failing_refresh_leaves_a_live_grant_ready(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 20, "refreshBeforeExpirySeconds": 15})).await?;
    stage.fault("404")?;
    let failing = ["Ready=True GrantIssued", "Reconciling=True PlayerStreamerNotFound", "RefreshFailing=True PlayerStreamerNotFound"];
    let request = stage.reaches("lobby", "Ready while its refresh fails", |request| conditions(request) == failing).await?;
    let expiry = status(&request).grant.map(|grant| grant.expiry_time).unwrap_or_default();
    ensure_names(&request, "RefreshFailing", &["404", &format!("Secret {}/lobby covers until {expiry}", stage.namespace)])?;
    // The message never changes by itself: no write until the grant has expired.
    let version = request.metadata.resource_version;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.requests.get("lobby").await?.metadata.resource_version == version, "the status was written though nothing had changed");
    let expired =
        ["Ready=False PlayerStreamerNotFound", "Reconciling=True PlayerStreamerNotFound", "RefreshFailing=True PlayerStreamerNotFound"];
    stage.reaches("lobby", "expired with the cause as its reason", |request| conditions(request) == expired).await?;
    stage.simulator.clear_faults();
    let request = stage.ready("lobby").await?;
    ensure!(status(&request).consecutive_failures == 0, "failures are still counted: {:?}", status(&request));
    Ok(())
}

async fn issuing_until_the_first_answer(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.fault("hang")?;
    stage.request("lobby", 1, &json!({})).await?;
    let issuing = ["Ready=False Issuing", "Reconciling=True Issuing"];
    let request = stage.reaches("lobby", "issuing", |request| conditions(request) == issuing).await?;
    let words = [format!("a grant for PlayerStreamer {}", sid(1)), format!("Secret {}/lobby", stage.namespace)];
    ensure_names(&request, "Ready", &words.each_ref().map(String::as_str))?;
    ensure!(status(&request).observed_generation == Some(1), "observed is {:?}", status(&request).observed_generation);
    stage
        .reaches("lobby", "told that no answer came", |request| message(request, "Ready").contains("no complete answer within 10s"))
        .await?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await.map(drop)
}

async fn grant_expired_while_nobody_was_there(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 5})).await?;
    operator.kill9().await?;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    stage.fault("hang")?;
    let _operator = stage.operator().await?;
    let expired = ["Ready=False GrantExpired", "Reconciling=True GrantExpired"];
    let request = stage.reaches("lobby", "expired while nobody was there", |request| conditions(request) == expired).await?;
    ensure_names(&request, "Ready", &[&format!("Secret {}/lobby expired at 20", stage.namespace), "a new one is being asked for"])?;
    stage.simulator.clear_faults();
    stage.ready("lobby").await.map(drop)
}

async fn credentials_that_are_missing_or_malformed(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let failing = |reason| ["Ready=False", "RefreshFailing=True", "Stalled=True"].map(|condition| format!("{condition} {reason}"));
    stage.delete_secret("media-api").await?;
    stage.request("lobby", 1, &json!({})).await?;
    let not_found = failing("CredentialsNotFound");
    let request = stage.reaches("lobby", "without credentials", |request| conditions(request) == not_found).await?;
    let secret = format!("Secret {}/media-api", stage.namespace);
    ensure_names(&request, "Ready", &[&secret, "does not exist", "Create it with the keys apiKeySid and apiKeySecret"])?;

    let cases: [(Value, &[&str]); 3] = [
        (json!({"apiKeySid": key_sid(1)}), &["apiKeySid", "apiKeySecret"]),
        (json!({"accountSid": "AC1", "authToken": "t"}), &["accountSid", "AC and 32 hexadecimal digits"]),
        (json!({"username": "somebody"}), &["apiKeySid", "accountSid"]),
    ];
    for (data, words) in cases {
        stage.credentials("media-api", &data).await?;
        let invalid = failing("CredentialsInvalid");
        let is_told = |request: &_| conditions(request) == invalid && words.iter().all(|word| message(request, "Ready").contains(word));
        let request = stage.reaches("lobby", &format!("told that its credentials are invalid: {words:?}"), is_told).await?;
        ensure_names(&request, "Stalled", &[&secret, "can't be used"])?;
    }
    ensure!(stage.simulator.counters().total.received == 0, "the Media API was called without credentials");
    stage.credentials("media-api", &api_key(1)).await?;
    stage.ready("lobby").await?;
    Ok(())
}

async fn a_secret_of_another_is_a_conflict(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let foreign: Secret = serde_json::from_value(json!({"metadata": {"name": "lobby"}, "stringData": {"theirs": "untouched"}}))?;
    let foreign = stage.secrets.create(&PostParams::default(), &foreign).await?;
    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({})).await?;
    let conflict = ["Ready=False SecretConflict", "Stalled=True SecretConflict"];
    let request = stage.reaches("lobby", "in conflict", |request| conditions(request) == conflict).await?;
    ensure_names(
        &request,
        "Ready",
        &[
            &format!("Secret {}/lobby", stage.namespace),
            "does not belong",
            "lacks the annotation playbackgrant.dev/owned-by",
            "left untouched",
            "spec.secret.name",
        ],
    )?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.secrets.get("lobby").await? == foreign, "a foreign Secret was touched");
    ensure!(stage.calls(1) == 0, "the Media API was called for a request in conflict");
    stage.delete_secret("lobby").await?;
    stage.ready("lobby").await.map(drop)
}

async fn a_quota_refuses_the_secret(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let quotas = no_more_secrets(&stage).await?;
    let _operator = stage.operator().await?;
    stage.request("lobby", 1, &json!({"ttlSeconds": 60})).await?;
    let refused = ["Ready=False", "RefreshFailing=True", "Stalled=True"].map(|condition| format!("{condition} SecretWriteFailed"));
    let request = stage.reaches("lobby", "refused by the quota", |request| conditions(request) == refused).await?;
    let words = ["exceeded quota: no-more", &format!("Secret {}/lobby", stage.namespace), "could not create", "Mend what the server names"];
    ensure_names(&request, "Ready", &words)?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.calls(1) == 1, "a grant that could not be written was asked for {} times", stage.calls(1));
    quotas.delete("no-more", &DeleteParams::default()).await?;
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == 1, "a grant that could be written later was asked for again");
    Ok(())
}

async fn suspended_once_the_grant_has_expired(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 25, "refreshBeforeExpirySeconds": 1})).await?;
    stage.change("lobby", &json!({"suspend": true})).await?;
    let is_told =
        |request: &_| conditions(request) == ["Ready=True GrantIssued"] && message(request, "Ready").contains("refreshing is suspended");
    stage.reaches("lobby", "suspended with a live grant", is_told).await?;
    let calls = stage.calls(1);
    let request = stage.reaches("lobby", "suspended", |request| conditions(request) == ["Ready=False Suspended"]).await?;
    ensure_names(&request, "Ready", &[&format!("Secret {}/lobby", stage.namespace), "suspended", "Set spec.suspend to false to resume"])?;
    ensure!(status(&request).next_refresh_time.is_none(), "a suspended request is told to be refreshed: {:?}", status(&request));
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.calls(1) == calls, "the Media API was called for a suspended request");
    stage.change("lobby", &json!({"suspend": false})).await?;
    let request = stage.ready("lobby").await?;
    ensure!(status(&request).last_handled_refresh_request.as_deref() == Some("now"), "the wish made meanwhile isn't handled");
    Ok(())
}
