//! `playback-grant-operator token`: looks at Access Tokens.

mod show;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgGroup, Args, Subcommand};
use secrecy::ExposeSecret as _;

use self::show::{Shown, Signature};
use self::source::{Found, Key};
use crate::clock::Clock;
use crate::token::{ReadToken, findings};

/// What can be done with a token.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Show what a token says, verify it when given a key, and tell what is wrong with it.
    ///
    /// The token comes from a Secret (--secret) or from standard input. The exit code is 1 for a token that is bad or expired.
    Decode(DecodeArgs),
}

/// Where the token and the key come from.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("in_a_secret").args(["secret", "key_secret"]).multiple(true)))]
pub struct DecodeArgs {
    /// The grant Secret to take the token from, by its key accessToken. Without it: standard input.
    #[arg(long, value_name = "NAME", value_parser = source::parse_name)]
    pub secret: Option<String>,

    /// The Secrets' namespace. Without it: the kubeconfig's.
    #[arg(short, long, requires = "in_a_secret", value_name = "NAMESPACE", value_parser = super::controller::parse_namespace)]
    pub namespace: Option<String>,

    /// A file with the API key's secret, to verify the signature with.
    #[arg(long, value_name = "FILE", conflicts_with = "key_secret")]
    pub key_file: Option<PathBuf>,

    /// The credentials Secret whose API key is to have signed the token.
    #[arg(long, value_name = "NAME", value_parser = source::parse_name)]
    pub key_secret: Option<String>,

    /// Show the playback URL's token, and all of the grant.
    #[arg(long)]
    pub show_secrets: bool,
}

/// Shows the token. The exit code is 0 for a good one, 1 for one that is bad or expired.
pub(super) fn decode(arguments: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the async runtime can't start")?;
    let Found { token, place, beside, key } = runtime.block_on(source::find(arguments))?;
    let read = ReadToken::parse(token.expose_secret())
        .map_err(|malformed| anyhow::anyhow!("what is in {place} is no Access Token (the Media API's error 20101): {malformed}"))?;
    let issuer = read.claims.get("iss").and_then(serde_json::Value::as_str);
    let signing_key = key.as_ref().map(|key| key.signing_key(issuer));
    let now = Clock::MACHINE.wall();
    let signature = match &key {
        None => Signature::NotVerified,
        Some(Key { place, .. }) => Signature::VerifiedWith(place),
    };
    let shown = Shown {
        place: &place,
        findings: &findings(&read, signing_key.as_ref(), now),
        read: &read,
        beside: beside.as_ref(),
        signature,
        show_secrets: arguments.show_secrets,
    };
    super::print(&shown.text(now))?;
    Ok(if shown.is_good(now) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
