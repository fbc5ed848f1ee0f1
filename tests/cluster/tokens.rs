//! The Access Token beside the grant.

mod anew;
mod decoded;
mod kept;
mod read;
mod signed;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::harness::ClusterTest;
use crate::stage::Stage;

pub fn tests() -> Vec<ClusterTest> {
    [kept::tests(), signed::tests(), anew::tests(), decoded::tests()].into_iter().flatten().collect()
}

/// A grant that isn't due for as long as a test takes, and a token for that identity.
fn long(identity: &str) -> Value {
    json!({"ttlSeconds": 60, "refreshBeforeExpirySeconds": 1, "accessToken": {"identity": identity}})
}

/// Refreshed as often as may be: each second.
fn short(identity: &str) -> Value {
    json!({"ttlSeconds": 2, "refreshBeforeExpirySeconds": 1, "accessToken": {"identity": identity}})
}

/// Checks that the Media API was called once for the PlayerStreamer `sid(n)`.
fn one_call(stage: &Stage, n: u32, what: &str) -> Result<()> {
    anyhow::ensure!(stage.calls(n) == 1, "{what} brought {} calls", stage.calls(n) - 1);
    Ok(())
}

/// Whether a Secret's token is for that identity, by that of the tests' API keys, and carries the grant beside it.
fn is_for(identity: &str, key: u32) -> impl Fn(&Secret) -> bool {
    move |secret| read::token(secret).is_ok_and(|token| token.key == key && token.claims["grants"]["identity"] == identity)
}
