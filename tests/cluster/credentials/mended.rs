//! Credentials that go away or are spoilt while grants are refreshed with them, and come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use playback_grant_operator::simulator::KnownCredentials;
use serde_json::{Value, json};

use super::{names, reads, ready_requests, replace};
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::planted;
use crate::observe::observe;
use crate::stage::{A_WHILE, Stage, api_key, conditions, ensure_names, eventually, key_sid, message, sid, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("credentials::deleted_and_made_again", deleted_and_made_again),
        test("credentials::made_malformed_and_mended", made_malformed_and_mended),
        test("credentials::both_pairs_and_newlines", both_pairs_and_newlines),
    ]
}

const REQUESTS: u32 = 10;
const TIMES: u32 = 3;

/// Due after 8 s, and alive for 22 more: whoever waited for a slow look, which comes later than that, would let it expire. Beyond [`AWAY`], a
/// busy machine has more than ten of them for all that is to be seen.
fn spec() -> Value {
    json!({"ttlSeconds": 30, "refreshBeforeExpirySeconds": 22})
}

/// Longer than until all are due.
const AWAY: Duration = Duration::from_secs(9);

/// Spoils the credentials and mends them, several times. No grant expires meanwhile, and nothing is called or told that shouldn't be.
async fn spoilt_and_mended(
    scene: &Scene,
    reason: &str,
    spoil: impl AsyncFn(&Stage) -> Result<()>,
    mend: impl AsyncFn(&Stage, u32) -> Result<()>,
) -> Result<Stage> {
    let stage = Stage::set(scene).await?;
    let _operator = stage.operator().await?;
    ready_requests(&stage, REQUESTS, &spec()).await?;
    let names = names(REQUESTS);
    let failing = ["Ready=True GrantIssued".to_owned(), format!("RefreshFailing=True {reason}"), format!("Stalled=True {reason}")];
    let run = async {
        for time in 1..=TIMES {
            spoil(&stage).await?;
            for name in &names {
                stage.reaches(name, "told so while its grant lives", |request| conditions(request) == failing).await?;
            }
            let calls = stage.simulator.counters().total.received;
            tokio::time::sleep(AWAY).await;
            let without = stage.simulator.counters().total.received - calls;
            ensure!(without == 0, "{without} calls were made without credentials");
            mend(&stage, time + 1).await?;
            for name in &names {
                stage.ready(name).await?;
            }
            let new = key_sid(time + 1);
            let renewed = async || {
                let calls = stage.simulator.calls();
                let is_renewed = |n: &u32| calls.iter().any(|call| call.streamer == sid(*n) && call.user.as_deref() == Some(&new));
                Ok((1..=REQUESTS).filter(is_renewed).count())
            };
            eventually("all are renewed by the new key", renewed, |renewed| *renewed == REQUESTS as usize, |renewed| *renewed).await?;
        }
        Ok(())
    };
    let observed = observe(&stage, run).await?;
    observed.ensure_fresh(names.iter().map(String::as_str))?;
    let failing = failing.each_ref().map(String::as_str);
    observed.ensure_told(names.iter().map(String::as_str), &[(&["Ready=True GrantIssued"], 0), (&failing, 0)])?;
    Ok(stage)
}

async fn deleted_and_made_again(scene: Scene) -> Result<()> {
    let delete = async |stage: &Stage| stage.delete_secret("media-api").await;
    let make = async |stage: &Stage, key| stage.credentials("media-api", &api_key(key)).await;
    let stage = spoilt_and_mended(&scene, "CredentialsNotFound", delete, make).await?;
    // The watch tells of a deletion by itself.
    let reads = reads(&stage).await?.len();
    ensure!(reads == 1 + TIMES as usize, "credentials that were made {} times were read {reads} times", 1 + TIMES);
    Ok(())
}

async fn made_malformed_and_mended(scene: Scene) -> Result<()> {
    let spoil = async |stage: &Stage| replace(stage, &json!({"apiKeySid": "SK1"})).await;
    let mend = async |stage: &Stage, key| replace(stage, &api_key(key)).await;
    let stage = spoilt_and_mended(&scene, "CredentialsInvalid", spoil, mend).await?;
    let reads = reads(&stage).await?.len();
    ensure!(reads == 1 + 2 * TIMES as usize, "{} changes were read {reads} times, the first look included", 2 * TIMES);
    Ok(())
}

/// The simulator knows the very passwords: a newline too many in one of them would be refused.
async fn both_pairs_and_newlines(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let (key, account) = (key_sid(1), format!("AC{}", "5".repeat(32)));
    let (secret, token) = (planted("api-key-1"), planted("auth-token"));
    let known =
        |user: &str, password: &str| KnownCredentials { user: user.to_owned(), password: password.into(), account_sid: account.clone() };
    stage.simulator.set_credentials(vec![known(&key, &secret), known(&account, &token)]);
    let _operator = stage.operator().await?;
    // Whatever ends one line is forgiven in each key by itself, and in all of them; nothing more is in any.
    let values = [("apiKeySid", &key), ("apiKeySecret", &secret), ("accountSid", &account), ("authToken", &token)];
    let with = |end: &str, at: &[&str]| -> Value {
        let value = |(key, value): (&str, &String)| {
            (key.to_owned(), json!(if at.contains(&key) { format!("{value}{end}") } else { value.clone() }))
        };
        values.into_iter().map(value).collect::<serde_json::Map<_, _>>().into()
    };
    let all = values.map(|(key, _)| key);
    let mut cases: Vec<(Value, &str)> = all.iter().map(|at| (with("\n", &[at]), key.as_str())).collect();
    cases.extend([(with("\r\n", &all), key.as_str()), (with("\n", &all), &key)]);
    let pair_alone = |mut data: Value| {
        if let Some(data) = data.as_object_mut() {
            data.remove("apiKeySecret");
            data.remove("apiKeySid");
        }
        data
    };
    cases.extend(["\n", "\r\n"].map(|end| (pair_alone(with(end, &all)), account.as_str())));
    for (n, (data, user)) in (1..).zip(&cases) {
        let name = format!("fine-{n}");
        stage.credentials(&name, data).await?;
        let spec = json!({"credentialsSecretRef": {"name": name}, "secret": {"name": format!("{name}-grant")}, "ttlSeconds": 60});
        stage.ready_request(&name, n, &spec).await?;
        let users: Vec<_> = stage.simulator.calls().into_iter().filter(|call| call.streamer == sid(n)).map(|call| call.user).collect();
        ensure!(users == [Some((*user).to_owned())], "{name}: the users were {users:?}");
    }

    let invalid = ["Ready=False", "RefreshFailing=True", "Stalled=True"].map(|condition| format!("{condition} CredentialsInvalid"));
    let mut wrong: Vec<(Value, &str)> = Vec::new();
    for end in ["\n\n", "\n\r\n", "\r", " ", "\n "] {
        wrong.push((with(end, &["apiKeySid"]), "apiKeySid"));
        wrong.push((pair_alone(with(end, &["accountSid"])), "accountSid"));
        // A space is a character that a password may have.
        if end != " " {
            wrong.push((with(end, &["apiKeySecret"]), "apiKeySecret"));
            wrong.push((pair_alone(with(end, &["authToken"])), "authToken"));
        }
    }
    // Each in a Secret of its own: another message of the same reason may come as late as 30 s after the one before.
    for (n, (data, _)) in (100..).zip(&wrong) {
        let name = format!("wrong-{n}");
        stage.credentials(&name, data).await?;
        let spec = json!({"credentialsSecretRef": {"name": name}, "secret": {"name": format!("{name}-grant")}});
        stage.request(&name, n, &spec).await?;
    }
    for (n, (_, key)) in (100..).zip(&wrong) {
        let name = format!("wrong-{n}");
        // Only the names of the keys are shown: the data is secret.
        let is_told = |request: &_| conditions(request) == invalid && message(request, "Ready").contains(&format!("{key} "));
        let request = stage.reaches(&name, &format!("told that {key} has more at its end than one newline"), is_told).await?;
        ensure_names(&request, "Stalled", &[&format!("Secret {}/{name}", stage.namespace), "can't be used"])?;
        ensure!(status(&request).grant.is_none(), "there is a grant");
    }
    tokio::time::sleep(A_WHILE).await;
    for (n, _) in (100..).zip(&wrong) {
        ensure!(stage.calls(n) == 0, "wrong-{n} called with what can't be used");
    }
    Ok(())
}
