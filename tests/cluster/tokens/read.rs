//! Reads a token as its receiver would, with nothing of the operator's own.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::leaks::planted;
use crate::stage::{data, key_sid};

/// A token, and by which of the tests' API keys it is signed.
pub struct Token {
    pub claims: Value,
    pub key: u32,
    /// When it was signed, in whole seconds since 1970, as its `jti` tells.
    pub signed_at: i64,
}

/// The token in a Secret; fails unless one of the tests' first nine API keys has signed it, and it is whole and carries the grant beside it.
pub fn token(secret: &Secret) -> Result<Token> {
    let text = data(secret, "accessToken").context("the Secret has no accessToken")?;
    let (message, signature) = text.rsplit_once('.').context("the token has no signature")?;
    let claims = message.split_once('.').context("the token has no claims")?.1;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let issuer = claims["iss"].as_str().unwrap_or_default().to_owned();
    let key = (1..=9).find(|n| key_sid(*n) == issuer).context("its issuer is none of the keys")?;
    let own = URL_SAFE_NO_PAD.encode(hmac(planted(&format!("api-key-{key}")).as_bytes(), message.as_bytes()));
    ensure!(signature == own, "the key that it names has not signed it");

    let grant = data(secret, "grant").context("the Secret has no grant")?;
    let player = &claims["grants"]["player"];
    let carried = player.as_str().map_or_else(|| player.to_string(), str::to_owned);
    let beside = serde_json::from_str::<Value>(&grant).ok().filter(|_| !player.is_string()).map_or(grant, |grant| grant.to_string());
    ensure!(carried == beside, "the token carries another grant than the one beside it");

    let expiry: Timestamp = data(secret, "accessTokenExpiryTime").context("the Secret has no accessTokenExpiryTime")?.parse()?;
    ensure!(claims["exp"] == expiry.as_second() && expiry.subsec_nanosecond() == 0, "accessTokenExpiryTime isn't exp");
    let signed_at = claims["jti"].as_str().and_then(|jti| jti.strip_prefix(&issuer)?.split('-').nth(1)?.parse().ok());
    Ok(Token { signed_at: signed_at.context("its jti has no instant")?, claims, key })
}

/// HMAC-SHA-256, by its definition in RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}
