//! The API server and the operator's own check agree on what is right.

use anyhow::{Result, anyhow, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use playback_grant_operator::api::{PlaybackGrantRequest, validate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::{Answer, Door, named};
use crate::harness::{ClusterTest, Scene, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::the_api_server_and_the_operator_agree", the_api_server_and_the_operator_agree),
        test("door::they_agree_on_several_fields_at_once", they_agree_on_several_fields_at_once),
        test("door::they_agree_on_the_requests_own_name", they_agree_on_the_requests_own_name),
    ]
}

/// How many specs are drawn for each field.
const DRAWS: usize = 60;
const AT_ONCE: usize = 8;

async fn the_api_server_and_the_operator_agree(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    for (field, drawn) in draws()? {
        let knocks = drawn.into_iter().map(|changes| agree(&door, changes));
        let taken: Vec<bool> = stream::iter(knocks).buffer_unordered(AT_ONCE).try_collect().await?;
        let taken = taken.into_iter().filter(|taken| *taken).count();
        ensure!((DRAWS / 10..=DRAWS * 9 / 10).contains(&taken), "{field}: {taken} of {DRAWS} draws were taken, which shows one side only");
    }
    Ok(())
}

/// How many requests with several fields are drawn.
const COMBINATIONS: usize = 300;

async fn they_agree_on_several_fields_at_once(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let mut runner = runner();
    let fields: Vec<_> = fields().into_iter().map(|(_, specs)| specs).collect();
    // Of some fields two draws in three are wrong: with three at most, enough is right as a whole.
    let several = prop::sample::subsequence((0..fields.len()).collect::<Vec<_>>(), 2..=3);
    let mut drawn = Vec::new();
    for _ in 0..COMBINATIONS {
        let mut changes = json!({});
        for field in draw(&several, &mut runner)? {
            merge(&mut changes, draw(&fields[field], &mut runner)?);
        }
        drawn.push(changes);
    }
    let knocks = drawn.iter().map(|changes| agree_as_a_whole(&door, "keynote", changes));
    let taken: Vec<bool> = stream::iter(knocks).buffer_unordered(AT_ONCE).try_collect().await?;
    let taken = taken.into_iter().filter(|taken| *taken).count();
    ensure!(
        (COMBINATIONS / 10..=COMBINATIONS * 9 / 10).contains(&taken),
        "{taken} of {COMBINATIONS} were taken, which shows one side only"
    );
    Ok(())
}

/// The name is the default of the Secret's: there the API server's own rule for names, and the operator's for Secrets', meet.
async fn they_agree_on_the_requests_own_name(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let mut runner = runner();
    // An empty name is refused before anything is checked.
    let strange = prop_oneof![3 => names(), 1 => ".{1,4}", 1 => "[a-z]{1,3}[/%?#&_][a-z]{1,3}", 1 => "([a-z]{63}\\.){3}[a-z]{60,62}"]
        .prop_filter("there is a name", |name| !name.is_empty());
    let drawn = (0..2 * DRAWS).map(|_| draw(&strange, &mut runner)).collect::<Result<Vec<_>>>()?;
    let nothing = json!({});
    let knocks = drawn.iter().map(|name| agree_as_a_whole(&door, name, &nothing));
    let taken: Vec<bool> = stream::iter(knocks).buffer_unordered(AT_ONCE).try_collect().await?;
    let taken = taken.into_iter().filter(|taken| *taken).count();
    ensure!((DRAWS / 5..=DRAWS * 9 / 5).contains(&taken), "{taken} of {} were taken, which shows one side only", 2 * DRAWS);
    Ok(())
}

/// Whether both take a request. The API server checks some rules only once others are kept: it may name fewer fields, but at least one, and
/// none that the operator doesn't.
async fn agree_as_a_whole(door: &Door, name: &str, changes: &Value) -> Result<bool> {
    let object = named(name, changes);
    let typed: PlaybackGrantRequest = serde_json::from_value(object.clone())?;
    let shown: String = changes.to_string().chars().take(300).collect();
    match (door.knock(&object).await?, validate(&typed)) {
        (Answer::Taken(_), Ok(_)) => Ok(true),
        (Answer::Refused(message), Err(invalid)) => {
            let named = invalid.violations.iter().filter(|violation| message.contains(violation.field)).count();
            ensure!(named > 0 || message.contains("metadata.name"), "{name:?}, {shown}: {invalid}; but the API server says {message}");
            Ok(false)
        }
        (Answer::Taken(_), Err(invalid)) => bail!("{name:?}, {shown}: the API server takes what the operator refuses: {invalid}"),
        (Answer::Refused(message), Ok(_)) => bail!("{name:?}, {shown}: the operator takes what the API server refuses: {message}"),
    }
}

fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn draw<T: std::fmt::Debug>(from: &impl Strategy<Value = T>, runner: &mut TestRunner) -> Result<T> {
    from.new_tree(runner).map(|tree| tree.current()).map_err(|reason| anyhow!("nothing can be drawn: {reason}"))
}

/// Puts `more` into `changes`, maps into maps.
fn merge(changes: &mut Value, more: Value) {
    match (changes, more) {
        (Value::Object(changes), Value::Object(more)) => {
            for (key, value) in more {
                merge(changes.entry(key).or_insert(Value::Null), value);
            }
        }
        (changes, more) => *changes = more,
    }
}

/// Changes of the spec, field by field; the same in every run.
fn draws() -> Result<Vec<(&'static str, Vec<Value>)>> {
    let mut runner = runner();
    let mut all = Vec::new();
    for (field, specs) in fields() {
        let drawn = (0..DRAWS).map(|_| draw(&specs, &mut runner)).collect::<Result<_>>()?;
        all.push((field, drawn));
    }
    Ok(all)
}

/// Whether both take a request with `changes`.
async fn agree(door: &Door, changes: Value) -> Result<bool> {
    let object = named("keynote", &changes);
    let typed: PlaybackGrantRequest = serde_json::from_value(object.clone())?;
    let ours = validate(&typed);
    match (door.knock(&object).await?, &ours) {
        (Answer::Taken(_), Ok(_)) => Ok(true),
        (Answer::Refused(message), Err(invalid)) => {
            for violation in &invalid.violations {
                ensure!(
                    message.contains(violation.field),
                    "{changes}: the operator names {}, the API server says {message}",
                    violation.field
                );
            }
            Ok(false)
        }
        (Answer::Taken(_), Err(invalid)) => bail!("{changes}: the API server takes what the operator refuses: {invalid}"),
        (Answer::Refused(message), Ok(_)) => bail!("{changes}: the operator takes what the API server refuses: {message}"),
    }
}

fn fields() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let mapped = |strategy: BoxedStrategy<String>, put: fn(String) -> Value| strategy.prop_map(put).boxed();
    let key = prop_oneof![
        4 => "[a-zA-Z]{1,3}[-._]?[a-z0-9]{1,3}",
        3 => "([a-z]{1,4}[.-]?){1,3}/[a-zA-Z0-9._-]{1,5}",
        1 => "[A-Z][a-z]\\.com/[a-z]{2}",
        1 => "[a-z]{60,66}",
        1 => "(playbackgrant\\.dev|playbackgrant\\.com|PlaybackGrant\\.dev)/[a-z]{1,3}",
        1 => "app\\.kubernetes\\.io/(managed-by|part-of)",
        1 => "[ -~é\n]{0,4}",
    ]
    .boxed();
    let label = prop_oneof![3 => "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,5}[a-z0-9])?", 1 => "", 1 => "[ -~]{1,4}", 1 => "[a-z]{62,65}"].boxed();
    let labels = prop::collection::vec((key.clone(), label), 1..3).prop_map(|pairs| json!({"secret": {"labels": map(pairs)}})).boxed();
    let text = prop_oneof![4 => ".{0,20}", 1 => "x{16370,16390}", 1 => "é{8180,8195}"].boxed();
    let annotations = prop::collection::vec((key, text), 1..3).prop_map(|pairs| json!({"secret": {"annotations": map(pairs)}})).boxed();
    vec![
        ("playerStreamerSid", mapped(sids(), |sid| json!({"playerStreamerSid": sid}))),
        ("accessControlAllowOrigin", mapped(origins(), |origin| json!({"accessControlAllowOrigin": origin}))),
        ("credentialsSecretRef.name", mapped(names(), |name| json!({"credentialsSecretRef": {"name": name}}))),
        ("secret.name", mapped(names(), |name| json!({"secret": {"name": name}}))),
        ("secret.labels", labels),
        ("secret.annotations", annotations),
        ("accessToken", tokens()),
        (
            "ttlSeconds and refreshBeforeExpirySeconds",
            (-1_i64..64, -1_i64..48).prop_map(|(ttl, before)| json!({"ttlSeconds": ttl, "refreshBeforeExpirySeconds": before})).boxed(),
        ),
    ]
}

fn tokens() -> BoxedStrategy<Value> {
    let identity =
        prop_oneof![3 => "\\PC{1,12}", 1 => "[ -~]{0,3}", 1 => "a{250,260}", 1 => "é{250,260}", 1 => "(?s).{0,3}", 1 => "\\p{Cc}?"];
    let ttl = prop_oneof![3 => 55_i64..200, 1 => -1_i64..60, 1 => 86_390_i64..86_410];
    (identity, ttl).prop_map(|(identity, ttl)| json!({"accessToken": {"identity": identity, "ttlSeconds": ttl}})).boxed()
}

fn sids() -> BoxedStrategy<String> {
    prop_oneof![3 => "VJ[0-9a-fA-F]{32}", 1 => "VJ[0-9a-f]{30,34}", 1 => "VJ[0-9a-g]{32}", 1 => "(AC|vj|Vj)[0-9a-f]{32}", 1 => ".{0,40}"]
        .prop_map(String::from)
        .boxed()
}

fn names() -> BoxedStrategy<String> {
    prop_oneof![
        4 => "[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?",
        2 => "[a-z0-9.-]{0,6}",
        1 => "(keynote|media-api)",
        1 => "[ -~é]{0,6}",
        1 => "[a-z]{250,256}",
    ]
    .boxed()
}

fn origins() -> BoxedStrategy<String> {
    let host = prop_oneof![
        4 => "[a-zA-Z0-9]{1,5}(-?[a-z0-9]{1,3})?(\\.[a-z0-9-]{1,4}){0,3}",
        1 => "([a-z]{60,64}\\.){3}[a-z]{58,64}",
        3 => "\\[([0-9a-fA-F]{1,4}:){7}[0-9a-f]{1,5}\\]",
        3 => "\\[([0-9a-f]{1,4}:){0,4}:(:?[0-9a-f]{1,4}){0,4}\\]",
        1 => "\\[(::|::ffff:|64:ff9b::|::ffff:0:)[0-9]{1,3}(\\.[0-9]{1,2}){3}\\]",
        1 => "\\[::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}\\]",
        1 => "[ -~é]{0,6}",
    ];
    let port = prop_oneof![3 => "", 3 => ":[1-9][0-9]{0,4}", 1 => ":6553[0-9]", 1 => ":[ -~]{0,5}"];
    let scheme = prop_oneof![8 => "https?://", 1 => "(HTTP|ftp|https?):/{0,3}"];
    let rest = prop_oneof![12 => "", 1 => "/", 1 => "[/?#@ \n][a-z]{0,3}"];
    (scheme, host, port, rest).prop_map(|(scheme, host, port, rest)| format!("{scheme}{host}{port}{rest}")).boxed()
}

fn map(pairs: Vec<(String, String)>) -> Value {
    pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect::<serde_json::Map<_, _>>().into()
}
