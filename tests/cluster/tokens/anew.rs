//! Where the Secret or the credentials go away and come back, and where a write is refused.

use anyhow::{Error, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use playback_grant_testbed::{AuditQuery, unix_millis};
use serde_json::json;

use super::read::token;
use super::{is_for, long, one_call};
use crate::harness::{ClusterTest, Scene, test};
use crate::leaks::Search;
use crate::refusals::deny_updates;
use crate::stage::{A_WHILE, Stage, api_key, conditions, data, ensure_names, eventually, message, version};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("tokens::one_that_is_signed_anew_lives_from_then_on", one_that_is_signed_anew_lives_from_then_on),
        test("tokens::a_secret_that_is_made_again_has_one_without_a_call", a_secret_that_is_made_again_has_one_without_a_call),
        test("tokens::it_stays_while_the_credentials_are_away", it_stays_while_the_credentials_are_away),
        test("tokens::two_operators_write_one_for_a_change", two_operators_write_one_for_a_change),
        test("tokens::words_that_quote_it_are_not_told", words_that_quote_it_are_not_told),
    ]
}

async fn one_that_is_signed_anew_lives_from_then_on(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let first = token(&stage.secrets.get("lobby").await?)?;
    // Later than the grant and its first token by more than a second.
    let second = async || Ok(i64::try_from(unix_millis() / 1000)?);
    let later = eventually("the clock goes on", second, |second| *second >= first.signed_at + 2, |second| *second).await?;
    stage.change("lobby", &json!({"accessToken": {"identity": "two"}})).await?;
    let anew = token(&stage.holds("lobby", "for the new identity", is_for("two", 1)).await?)?;
    ensure!(anew.signed_at >= later, "signed anew at {later} or later, it counts from {}", anew.signed_at);
    ensure!(anew.claims["exp"] == anew.signed_at + 3600, "it expires at {}, signed at {}", anew.claims["exp"], anew.signed_at);
    one_call(&stage, 1, "a token")
}

async fn a_secret_that_is_made_again_has_one_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let before = stage.secrets.get("lobby").await?;
    stage.delete_secret("lobby").await?;
    let is_another = |secret: &Secret| secret.metadata.uid != before.metadata.uid && is_for("one", 1)(secret);
    let after = stage.holds("lobby", "made again with its token", is_another).await?;
    ensure!(data(&after, "grant") == data(&before, "grant"), "another grant is in it");

    stage.change("lobby", &json!({"secret": {"name": "kiosk"}})).await?;
    let moved = stage.holds("kiosk", "there with a token", is_for("one", 1)).await?;
    ensure!(data(&moved, "grant") == data(&before, "grant"), "another grant is in it");
    let old = async || Ok(stage.secrets.get_opt("lobby").await?.is_none());
    eventually("the Secret of the earlier name is gone", old, |gone| *gone, |gone| *gone).await?;
    stage.ready("lobby").await?;
    one_call(&stage, 1, "another Secret")
}

async fn it_stays_while_the_credentials_are_away(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    let before = stage.secrets.get("lobby").await?;
    stage.delete_secret("media-api").await?;
    let without = ["Ready=True GrantIssued", "RefreshFailing=True CredentialsNotFound", "Stalled=True CredentialsNotFound"];
    stage.reaches("lobby", "without credentials", |request| conditions(request) == without).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(version(&stage.secrets.get("lobby").await?.metadata) == version(&before.metadata), "it was written without a key");
    stage.credentials("media-api", &api_key(2)).await?;
    let after = stage.holds("lobby", "signed by the key that came", is_for("one", 2)).await?;
    ensure!(data(&after, "grant") == data(&before, "grant"), "another grant is in it");
    stage.ready("lobby").await?;
    one_call(&stage, 1, "a key that came back")
}

/// As in a rolling update: one of them writes it, and the other takes it over.
async fn two_operators_write_one_for_a_change(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operators = (stage.operator().await?, stage.operator().await?);
    stage.ready_request("lobby", 1, &long("one")).await?;
    // Both may have asked for a grant: until the later one is there.
    tokio::time::sleep(A_WHILE).await;
    let writes = || {
        let query = AuditQuery {
            verb: Some("patch"),
            resource: Some("secrets"),
            namespace: Some(&stage.namespace),
            name: Some("lobby"),
            ..AuditQuery::default()
        };
        Ok::<_, Error>(stage.plane.audit_log().requests(&query)?.iter().filter(|request| request.code == 200).count())
    };
    let (before, calls) = (writes()?, stage.calls(1));
    stage.secrets.patch("media-api", &PatchParams::default(), &Patch::Merge(json!({"stringData": api_key(2)}))).await?;
    stage.holds("lobby", "signed by the new key", is_for("one", 2)).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(writes()? == before + 1, "it was written {} times", writes()? - before);
    ensure!(stage.calls(1) == calls, "a change of the key brought {} calls", stage.calls(1) - calls);
    Ok(())
}

/// An API server may answer a write with any words, those of the token among them.
async fn words_that_quote_it_are_not_told(_: Scene) -> Result<()> {
    // A control plane of its own: such a policy puts the token into the API server's own audit log.
    Stage::alone(refused_in_words_that_quote).await
}

async fn refused_in_words_that_quote(stage: &Stage) -> Result<()> {
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long("one")).await?;
    refuse_tokens(stage).await?;
    stage.change("lobby", &json!({"accessToken": {"identity": "two"}})).await?;
    let is_told = |request: &_| message(request, "RefreshFailing").contains("could not update Secret");
    let request = stage.reaches("lobby", "told that the write was refused", is_told).await?;
    ensure_names(
        &request,
        "RefreshFailing",
        &["its words quote the Secret and are withheld", &format!("Secret {}/lobby", stage.namespace)],
    )?;
    let statuses = serde_json::to_string(&stage.requests.list(&ListParams::default()).await?)?;
    let search = Search::shown_to_find()?;
    let mut found = search.find("the statuses", statuses.as_bytes());
    found.extend(search.find("the log", operator.log()?.as_bytes()));
    ensure!(found.is_empty(), "{found:?}");

    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(stage.admin.clone());
    policies.delete(&stage.namespace, &DeleteParams::default()).await?;
    stage.holds("lobby", "for the new identity", is_for("two", 1)).await?;
    stage.ready("lobby").await?;
    one_call(stage, 1, "a refusal")?;
    Ok(())
}

/// From here on no Secret with a token can be written in the namespace, and the refusal quotes the token.
async fn refuse_tokens(stage: &Stage) -> Result<()> {
    let validation = json!({
        "expression": "!('accessToken' in object.data)",
        "messageExpression": "'not this one: ' + string(object.data['accessToken'])",
    });
    deny_updates(stage, validation).await?;
    let try_out = PatchParams { dry_run: true, ..PatchParams::default() };
    let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    let search = Search::shown_to_find()?;
    let quoted = async || match stage.secrets.patch("lobby", &try_out, &touch).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) => Ok(!search.find("the refusal", status.message.as_bytes()).is_empty()),
        Err(error) => bail!(error),
    };
    eventually("a write is refused in words that quote the token", quoted, |quoted| *quoted, |quoted| *quoted).await.map(drop)
}
