//! What becomes of the grant Secret: what is in it, what others do to it, where it goes.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use playback_grant_operator::simulator::PlaybackToken;
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, test};
use crate::stage::{A_WHILE, Stage, conditions, data, ensure_names, eventually, sid, status, version};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("secret::it_holds_what_the_contract_names", it_holds_what_the_contract_names),
        test("secret::a_string_grant_is_unquoted", a_string_grant_is_unquoted),
        test("secret::a_deleted_one_is_back_without_a_call", a_deleted_one_is_back_without_a_call),
        test("secret::a_changed_one_is_mended_and_what_is_of_others_stays", a_changed_one_is_mended_and_what_is_of_others_stays),
        test("secret::a_stripped_label_is_put_back_without_a_call", a_stripped_label_is_put_back_without_a_call),
        test("secret::labels_that_leave_the_spec_leave_the_secret", labels_that_leave_the_spec_leave_the_secret),
        test("secret::a_new_name_is_written_before_the_old_goes", a_new_name_is_written_before_the_old_goes),
        test("secret::it_goes_with_its_request_or_stays_as_asked", it_goes_with_its_request_or_stays_as_asked),
        test("secret::an_immutable_one_is_made_anew", an_immutable_one_is_made_anew),
        test("secret::an_immutable_one_that_others_hold_is_waited_for", an_immutable_one_that_others_hold_is_waited_for),
        test("secret::one_of_another_type_is_made_anew", one_of_another_type_is_made_anew),
        test("secret::the_first_of_two_requests_holds_it", the_first_of_two_requests_holds_it),
    ]
}

/// Long enough that nothing is due while the test runs, however slow the machine is.
fn long() -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1})
}

fn long_and(changes: &Value) -> Value {
    let mut spec = long();
    if let (Some(spec), Some(changes)) = (spec.as_object_mut(), changes.as_object()) {
        spec.extend(changes.clone());
    }
    spec
}

async fn it_holds_what_the_contract_names(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let secret = json!({"name": "grant", "labels": {"team": "web"}, "annotations": {"example.com/note": "kept"}});
    let request = stage.ready_request("keynote", 7, &long_and(&json!({"secret": secret}))).await?;
    let secret = stage.secrets.get("grant").await?;
    ensure!(secret.type_.as_deref() == Some("Opaque"), "its type is {:?}", secret.type_);
    let keys: Vec<_> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
    ensure!(keys == ["accountSid", "expiryTime", "grant", "issueTime", "playbackUrl", "playerStreamerSid"], "its keys are {keys:?}");

    // The grant as the simulator gave it: it is JSON, and its URL's token tells the life that the Secret claims.
    let grant: Value = serde_json::from_str(&data(&secret, "grant").context("no grant")?).context("the grant isn't JSON")?;
    let url = data(&secret, "playbackUrl").context("no playbackUrl")?;
    ensure!(
        grant["playbackUrl"] == url.as_str() && grant["playerStreamerSid"] == sid(7).as_str(),
        "the grant and the keys beside it differ"
    );
    let token = PlaybackToken::decode(&url).context("the URL isn't the simulator's")?;
    let expiry: k8s_openapi::jiff::Timestamp = data(&secret, "expiryTime").context("no expiryTime")?.parse()?;
    ensure!(u64::try_from(expiry.as_millisecond())? <= token.expires_at_unix_ms(), "the Secret claims a longer life than the grant has");
    ensure!(token.ttl_ms == 60_000 && data(&secret, "playerStreamerSid") == Some(sid(7)), "the grant isn't the one that was asked for");

    let meta = serde_json::to_value(&secret.metadata)?;
    ensure!(
        meta["labels"] == json!({"app.kubernetes.io/managed-by": "playback-grant-operator", "team": "web"}),
        "labels: {}",
        meta["labels"]
    );
    let annotations = meta["annotations"].as_object().context("no annotations")?;
    let names: Vec<_> = annotations.keys().map(String::as_str).collect();
    let expected = [
        "example.com/note",
        "playbackgrant.dev/expiry-time",
        "playbackgrant.dev/issue-time",
        "playbackgrant.dev/owned-by",
        "playbackgrant.dev/request-hash",
    ];
    ensure!(names == expected, "annotations: {names:?}");
    let uid = request.metadata.uid.clone().unwrap_or_default();
    ensure!(
        annotations["playbackgrant.dev/owned-by"] == format!("keynote/{uid}"),
        "owned by {}",
        annotations["playbackgrant.dev/owned-by"]
    );
    ensure!(annotations["playbackgrant.dev/expiry-time"] == data(&secret, "expiryTime").unwrap_or_default(), "two expiries");
    let owner = &meta["ownerReferences"][0];
    ensure!(owner["uid"] == uid && owner["controller"] == true && owner["kind"] == "PlaybackGrantRequest", "the owner is {owner}");

    let grant = status(&request).grant.context("the status has no grant")?;
    ensure!(status(&request).secret_name.as_deref() == Some("grant"), "the status names {:?}", status(&request).secret_name);
    ensure!(
        Some(&grant.expiry_time) == data(&secret, "expiryTime").as_ref()
            && grant.account_sid.as_deref() == data(&secret, "accountSid").as_deref(),
        "{grant:?}"
    );
    ensure!(*grant.player_streamer_sid == *sid(7) && grant.date_created.is_some() && grant.url.is_some(), "{grant:?}");
    ensure!(status(&request).next_refresh_time.is_some_and(|due| due < grant.expiry_time), "it is due after its expiry");
    Ok(())
}

async fn a_string_grant_is_unquoted(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.fault("string-grant")?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let secret = stage.secrets.get("lobby").await?;
    let grant = data(&secret, "grant").context("no grant")?;
    ensure!(!grant.starts_with('"'), "the string stands with its quotes");
    let inside: Value = serde_json::from_str(&grant).context("the string isn't what was in it")?;
    ensure!(inside["playbackUrl"].as_str() == data(&secret, "playbackUrl").as_deref(), "the URL in it wasn't found");
    Ok(())
}

async fn a_deleted_one_is_back_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    for _ in 0..3 {
        let before = stage.secrets.get("lobby").await?;
        stage.delete_secret("lobby").await?;
        let after = stage.holds("lobby", "back", |secret| secret.metadata.uid != before.metadata.uid).await?;
        ensure!(after.data == before.data, "another grant is in it");
    }
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_changed_one_is_mended_and_what_is_of_others_stays(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let before = stage.secrets.get("lobby").await?;
    let theirs = json!({
        "metadata": {"labels": {"theirs": "kept"}, "annotations": {"theirs": "kept", "playbackgrant.dev/expiry-time": "2020-01-01T00:00:00.000Z"}},
        "stringData": {"theirs": "kept", "playbackUrl": "https://elsewhere.example", "grant": "{}"},
    });
    stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &Patch::Merge(theirs)).await?;
    let after = stage.holds("lobby", "mended", |secret| data(secret, "grant") == data(&before, "grant")).await?;
    ensure!(data(&after, "playbackUrl") == data(&before, "playbackUrl"), "the URL isn't mended");
    ensure!(
        after.metadata.annotations.as_ref().and_then(|all| all.get("playbackgrant.dev/expiry-time")).cloned()
            == data(&before, "expiryTime"),
        "the annotation isn't mended"
    );
    ensure!(data(&after, "theirs").as_deref() == Some("kept"), "another's key is gone");
    ensure!(after.metadata.labels.is_some_and(|labels| labels.contains_key("theirs")), "another's label is gone");
    ensure!(after.metadata.annotations.is_some_and(|annotations| annotations.contains_key("theirs")), "another's annotation is gone");
    // What is of no concern to the operator brings no write: the second annotation of another stays the last word.
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"theirs": "again"}}}));
    let patched = stage.secrets.patch("lobby", &PatchParams::apply("somebody-else"), &patch).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(version(&stage.secrets.get("lobby").await?.metadata) == version(&patched.metadata), "it was written though nothing was wrong");
    ensure!(stage.calls(1) == 1, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn a_stripped_label_is_put_back_without_a_call(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let strip = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}));
    // Without an owner, the annotation alone shows the admission policy whose it is.
    for (n, name, policy) in [(1, "owned", "Delete"), (2, "retained", "Retain")] {
        stage.ready_request(name, n, &long_and(&json!({"secret": {"deletionPolicy": policy}}))).await?;
        let before = stage.secrets.get(name).await?;
        stage.secrets.patch(name, &PatchParams::default(), &strip).await?;
        let labelled = |secret: &k8s_openapi::api::core::v1::Secret| {
            secret.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
        };
        let after = stage.holds(name, "labelled again", labelled).await?;
        ensure!(after.metadata.uid == before.metadata.uid && after.data == before.data, "{policy}: it was made anew");
        ensure!(stage.calls(n) == 1, "{policy}: the Media API was called {} times", stage.calls(n));
        stage.ready(name).await?;
    }
    Ok(())
}

async fn labels_that_leave_the_spec_leave_the_secret(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    let secret = json!({"labels": {"a": "1", "b": "1"}, "annotations": {"c": "1", "d": "1"}});
    stage.ready_request("lobby", 1, &long_and(&json!({"secret": secret}))).await?;
    stage.change("lobby", &json!({"secret": {"labels": {"a": null, "b": "2"}, "annotations": {"c": null, "d": "2"}}})).await?;
    let shown = |secret: &k8s_openapi::api::core::v1::Secret| {
        let value =
            |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| map.as_ref().and_then(|map| map.get(key).cloned());
        let (labels, annotations) = (&secret.metadata.labels, &secret.metadata.annotations);
        [value(labels, "a"), value(labels, "b"), value(annotations, "c"), value(annotations, "d")]
    };
    stage.holds("lobby", "as the spec says", |secret| shown(secret) == [None, Some("2".into()), None, Some("2".into())]).await?;
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == 1, "labels brought {} calls", stage.calls(1));
    Ok(())
}

async fn a_new_name_is_written_before_the_old_goes(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let before = stage.secrets.get("lobby").await?;
    let last = stage.last_asked().await?;
    stage.change("lobby", &json!({"secret": {"name": "renamed"}})).await?;
    let request = stage.reaches("lobby", "at the new name", |request| status(request).secret_name.as_deref() == Some("renamed")).await?;
    ensure!(conditions(&request) == ["Ready=True GrantIssued"], "{:?}", conditions(&request));
    let after = stage.secrets.get("renamed").await?;
    ensure!(after.data == before.data, "another grant is in it");
    crate::stage::eventually("the old one is gone", async || Ok(stage.secrets.get_opt("lobby").await?), Option::is_none, Option::is_some)
        .await?;
    ensure!(stage.calls(1) == 1, "the new name brought {} calls", stage.calls(1));
    let asked = stage.asked(last.as_ref()).await?;
    let place = |wanted: &str| asked.iter().position(|asked| asked == wanted).with_context(|| format!("no {wanted} in {asked:?}"));
    ensure!(place("create secrets/renamed")? < place("delete secrets/lobby")?, "the old one went first: {asked:?}");
    Ok(())
}

async fn it_goes_with_its_request_or_stays_as_asked(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("goes", 1, &long()).await?;
    let retain = long_and(&json!({"secret": {"deletionPolicy": "Retain"}}));
    stage.ready_request("stays", 2, &retain).await?;
    let kept = stage.secrets.get("stays").await?;
    ensure!(kept.metadata.owner_references.is_none(), "a Secret to be retained has an owner");
    for name in ["goes", "stays"] {
        let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        stage.requests.delete(name, &params).await?;
    }
    let gone = async || Ok(stage.secrets.get_opt("goes").await?);
    crate::stage::eventually("the Secret is collected", gone, Option::is_none, Option::is_some).await?;
    tokio::time::sleep(A_WHILE).await;
    ensure!(stage.secrets.get_opt("goes").await?.is_none(), "it was put back after its request had gone");
    ensure!(version(&stage.secrets.get("stays").await?.metadata) == version(&kept.metadata), "the retained one was touched");

    // A request of that name takes it over, with the grant in it.
    let request = stage.ready_request("stays", 2, &retain).await?;
    let uid = request.metadata.uid.unwrap_or_default();
    let owned_by =
        |secret: &k8s_openapi::api::core::v1::Secret| secret.metadata.annotations.as_ref()?.get("playbackgrant.dev/owned-by").cloned();
    let adopted = stage.holds("stays", "adopted", |secret| owned_by(secret) == Some(format!("stays/{uid}"))).await?;
    ensure!(adopted.metadata.uid == kept.metadata.uid && adopted.data == kept.data, "it was made anew");
    ensure!((stage.calls(1), stage.calls(2)) == (1, 1), "calls: {} and {}", stage.calls(1), stage.calls(2));
    Ok(())
}

async fn an_immutable_one_is_made_anew(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    let before = stage.secrets.patch("lobby", &PatchParams::default(), &Patch::Merge(json!({"immutable": true}))).await?;
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    let after = stage.holds("lobby", "made anew", |secret| secret.metadata.uid != before.metadata.uid).await?;
    ensure!(after.immutable != Some(true) && data(&after, "grant") != data(&before, "grant"), "it isn't a new one with a new grant");
    stage.ready("lobby").await?;
    ensure!(stage.calls(1) == 2, "the Media API was called {} times", stage.calls(1));
    Ok(())
}

async fn an_immutable_one_that_others_hold_is_waited_for(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 6, "refreshBeforeExpirySeconds": 4})).await?;
    let holding = json!({"immutable": true, "metadata": {"finalizers": ["example.com/hold"]}});
    let held = stage.secrets.patch("lobby", &PatchParams::default(), &Patch::Merge(holding)).await?;
    let reason = ["Ready=False", "RefreshFailing=True", "Stalled=True"].map(|condition| format!("{condition} SecretWriteFailed"));
    let told = stage.reaches("lobby", "told that it is held", |request| conditions(request) == reason).await?;
    ensure_names(&told, "Ready", &["metadata.finalizers", "spec.secret.name"])?;
    let (last, calls) = (stage.last_asked().await?, stage.calls(1));
    tokio::time::sleep(A_WHILE).await;
    let asked = stage.asked(last.as_ref()).await?;
    ensure!(asked.is_empty() && stage.calls(1) == calls, "asked {asked:?}, and {} calls", stage.calls(1) - calls);
    // It was tried to be changed and then deleted, each once; what the watch then shows is looked at.
    let all = stage.asked(None).await?;
    let of = |what: &str| all.iter().filter(|asked| **asked == format!("{what} secrets/lobby")).count();
    ensure!((of("delete"), of("create")) == (1, 1) && of("get") <= 4 && of("patch") <= 3, "{all:?}");

    // What others change of it makes it no more changeable.
    let last = stage.last_asked().await?;
    let touched = Patch::Merge(json!({"metadata": {"annotations": {"example.com/tries": "1"}}}));
    stage.secrets.patch("lobby", &PatchParams::default(), &touched).await?;
    tokio::time::sleep(A_WHILE).await;
    let asked = stage.asked(last.as_ref()).await?;
    ensure!(asked.is_empty() && stage.calls(1) == calls, "asked {asked:?}, and {} calls", stage.calls(1) - calls);
    // Without its label it goes unseen.
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}));
    stage.secrets.patch("lobby", &PatchParams::default(), &unlabelled).await?;
    let looked = async || Ok(stage.asked(last.as_ref()).await?.contains(&"get secrets/lobby".to_owned()));
    eventually("it is looked at", looked, |looked| *looked, |looked| *looked).await?;
    tokio::time::sleep(A_WHILE).await;
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    stage.secrets.patch("lobby", &PatchParams::default(), &release).await?;
    let after = stage.holds("lobby", "made anew", |secret| secret.metadata.uid != held.metadata.uid).await?;
    ensure!(after.immutable != Some(true), "it can't be changed");
    stage.ready("lobby").await.map(drop)
}

async fn one_of_another_type_is_made_anew(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    stage.ready_request("lobby", 1, &long()).await?;
    operator.kill9().await?;
    let mut other = stage.secrets.get("lobby").await?;
    stage.delete_secret("lobby").await?;
    (other.type_, other.metadata.uid, other.metadata.resource_version) = (Some("example.com/other".to_owned()), None, None);
    let other = stage.secrets.create(&PostParams::default(), &other).await?;
    let _operator = stage.operator().await?;
    stage.annotate("lobby", "playbackgrant.dev/refresh-requested-at", "now").await?;
    let after = stage.holds("lobby", "made anew", |secret| secret.metadata.uid != other.metadata.uid).await?;
    ensure!(after.type_.as_deref() == Some("Opaque"), "its type is {:?}", after.type_);
    stage.ready("lobby").await.map(drop)
}

async fn the_first_of_two_requests_holds_it(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let _operator = stage.operator().await?;
    stage.ready_request("first", 1, &long_and(&json!({"secret": {"name": "shared"}}))).await?;
    stage.request("second", 2, &long_and(&json!({"secret": {"name": "shared"}}))).await?;
    let conflict = ["Ready=False SecretConflict", "Stalled=True SecretConflict"];
    stage.reaches("second", "in conflict", |request| conditions(request) == conflict).await?;
    ensure!(stage.calls(2) == 0, "the Media API was called for a request in conflict");
    stage.requests.delete("first", &DeleteParams::default()).await?;
    stage.ready("second").await?;
    let secret = stage.secrets.get("shared").await?;
    ensure!(data(&secret, "playerStreamerSid") == Some(sid(2)), "the Secret holds another's grant");
    Ok(())
}
