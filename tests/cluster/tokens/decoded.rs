//! `token decode` with tokens and keys in Secrets.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{long, read};
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::{Search, planted};
use crate::stage::{ACCOUNT, Stage, api_key, data, key_sid};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("tokens::decode_shows_and_verifies_what_is_in_a_secret", decode_shows_and_verifies_what_is_in_a_secret)]
}

async fn decode_shows_and_verifies_what_is_in_a_secret(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("kiosk-1")).await?;
    stage.credentials("other", &api_key(2)).await?;
    stage.credentials("account", &json!({"accountSid": format!("AC{}", "5".repeat(32)), "authToken": planted("auth-token")})).await?;
    // Nothing changes any more while it is looked at.
    operator.kill9().await?;
    let kubeconfig = stage.plane.service_account_kubeconfig(ACCOUNT.0, ACCOUNT.1).await?;
    let decode = |arguments: &[&str]| -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_playback-grant-operator"));
        command.args(["token", "decode", "-n", &stage.namespace]).args(arguments).env_clear().env("KUBECONFIG", &kubeconfig);
        command.output().context("token decode")
    };
    let secret = stage.secrets.get("lobby").await?;
    let beside = data(&secret, "expiryTime").context("no expiryTime")?;
    let search = Search::shown_to_find()?;
    let good = format!("signature  good, by the key in Secret {}/media-api\ntoken      good\n", stage.namespace);
    let sids = [
        key_sid(1),
        data(&secret, "accountSid").context("no accountSid")?,
        read::token(&secret)?.claims["jti"].to_string().replace('"', ""),
    ];
    for (arguments, code, said) in [
        (&["--secret", "lobby", "--key-secret", "media-api"][..], 0, good.as_str()),
        (&["--secret", "lobby"], 0, "signature  not verified"),
        (&["--secret", "lobby"], 0, "it is    the one in the token\n"),
        (&["--secret", "lobby"], 0, &beside[..19]),
        (&["--secret", "lobby", "--key-secret", "other"], 1, "  20107  "),
        (&["--secret", "lobby", "--key-secret", "other"], 1, "  20103  iss names another API key than the one given"),
    ] {
        let output = decode(arguments)?;
        let shown = String::from_utf8(output.stdout)?;
        ensure!(output.status.code() == Some(code) && output.stderr.is_empty(), "{arguments:?}: exit code {:?}", output.status.code());
        // Before anything of it is told: what a playback URL is known by has its path in it, which is not shown.
        ensure!(shown.contains("/***?token=***"), "{arguments:?}: the playback URL isn't masked");
        let found = search.find("what it shows", shown.as_bytes());
        ensure!(found.is_empty(), "{arguments:?}: it shows what is secret: {found:?}");
        ensure!(shown.contains(said) && sids.iter().all(|sid| shown.contains(sid)), "{arguments:?}: {said:?} isn't in {shown}");
    }
    let shown = String::from_utf8(decode(&["--secret", "lobby", "--show-secrets"])?.stdout)?;
    ensure!(shown.contains(&data(&secret, "playbackUrl").context("no playbackUrl")?), "--show-secrets shows nothing");

    stage
        .secrets
        .patch("lobby", &PatchParams::default(), &Patch::Merge(json!({"stringData": {"grant": planted("another-grant")}})))
        .await?;
    let output = decode(&["--secret", "lobby"])?;
    let shown = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1) && shown.contains("it carries another grant than the Secret"), "{shown}");

    for (arguments, said) in [
        (&["--secret", "nobody"][..], format!("error: Secret {}/nobody does not exist", stage.namespace)),
        (&["--secret", "media-api"], "has no key accessToken: ask for one with spec.accessToken".to_owned()),
        (&["--secret", "lobby", "--key-secret", "lobby"], "holds a grant: name the credentials Secret".to_owned()),
        (&["--secret", "lobby", "--key-secret", "account"], "only an API key signs tokens".to_owned()),
    ] {
        let output = decode(arguments)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{arguments:?}: exit code {:?}", output.status.code());
        ensure!(told.contains(&said) && told.lines().count() == 1, "{arguments:?}: {told}");
    }
    Ok(())
}
