//! The flags of `playback-grant-operator controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use reqwest::Url;

use crate::telemetry;

/// The Media API's own address.
pub const DEFAULT_MEDIA_API_URL: &str = "https://media.twilio.com";

/// How the controller runs. Every flag can also be given as an environment variable.
#[derive(Args, Clone, Debug)]
pub struct ControllerArgs {
    /// The Media API's address: https, or plain http to a loopback host.
    #[arg(long, env = "PLAYBACK_GRANT_MEDIA_API_URL", value_name = "URL", default_value = DEFAULT_MEDIA_API_URL, value_parser = parse_base_url)]
    pub media_api_url: Url,

    /// Allow plain http to a host that isn't loopback: credentials and grants then cross the network readable.
    #[arg(long, env = "PLAYBACK_GRANT_ALLOW_INSECURE_MEDIA_API")]
    pub allow_insecure_media_api: bool,

    /// A PEM file of certificate authorities to trust for the Media API, besides the system's.
    #[arg(long, env = "PLAYBACK_GRANT_MEDIA_API_CA_FILE", value_name = "FILE")]
    pub media_api_ca_file: Option<PathBuf>,

    /// A namespace to serve; may be repeated, or list several by comma. Without it: all.
    #[arg(long = "namespace", env = "PLAYBACK_GRANT_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',', value_parser = parse_namespace)]
    pub namespaces: Vec<String>,

    /// Where to serve /livez, /readyz and /metrics. Without it: [::]:8080, or 0.0.0.0:8080 where there is no IPv6.
    #[arg(long, env = "PLAYBACK_GRANT_BIND_ADDRESS", value_name = "ADDRESS:PORT")]
    pub bind_address: Option<SocketAddr>,

    /// How log lines are written.
    #[arg(long, env = "PLAYBACK_GRANT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or directives such as info,kube=debug.
    #[arg(long, env = "PLAYBACK_GRANT_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_log_level)]
    pub log_level: String,

    /// The most Media API calls under way at once.
    #[arg(long, env = "PLAYBACK_GRANT_MAX_IN_FLIGHT", value_name = "CALLS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_in_flight: u32,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Checks what no flag can tell by itself.
pub(super) fn check(arguments: &ControllerArgs) -> Result<(), clap::Error> {
    let insecure = arguments.media_api_url.scheme() == "http" && !is_loopback(&arguments.media_api_url);
    if insecure && !arguments.allow_insecure_media_api {
        return Err(super::Cli::command().error(
            ErrorKind::ValueValidation,
            "--media-api-url is plain http to a host that isn't loopback: use https, or add --allow-insecure-media-api",
        ));
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    // A Url keeps an IPv6 host in its brackets.
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn parse_base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: give a URL such as {DEFAULT_MEDIA_API_URL}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must have no user, query or fragment: credentials belong in the requests' Secrets".to_owned());
    }
    Ok(url)
}

fn parse_namespace(text: &str) -> Result<String, &'static str> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a namespace's name has at most 63 lower case letters, digits and hyphens")
    }
}

fn parse_log_level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: give error, warn, info, debug or trace, or directives such as info,kube=debug")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse as parse_cli};
    use super::ControllerArgs;

    fn parse(flags: &[&str]) -> Result<ControllerArgs, clap::Error> {
        let arguments = ["playback-grant-operator", "controller"].iter().chain(flags);
        let Command::Controller(arguments) = parse_cli(arguments.map(Into::into))?.command else { panic!("the controller was asked for") };
        Ok(arguments)
    }

    #[test]
    fn plain_http_needs_a_loopback_host_or_leave() {
        for fine in ["http://127.0.0.1:8181", "http://[::1]:8181", "http://localhost:8181", "https://media.example.com"] {
            assert!(parse(&["--media-api-url", fine]).is_ok(), "{fine}");
        }
        for foreign in ["http://media.example.com", "http://127.0.0.1.example.com", "http://10.0.0.1"] {
            assert!(parse(&["--media-api-url", foreign]).is_err(), "{foreign}");
            assert!(parse(&["--media-api-url", foreign, "--allow-insecure-media-api"]).is_ok(), "{foreign}");
        }
        for wrong in ["media.example.com", "ftp://media.example.com", "https://user:word@media.example.com", "https://media.example.com/?x"]
        {
            assert!(parse(&["--media-api-url", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn namespaces_are_repeated_or_listed() {
        assert_eq!(parse(&["--namespace", "web,kiosk", "--namespace", "shop"]).unwrap().namespaces, ["web", "kiosk", "shop"]);
        assert!(parse(&["--namespace", "web,"]).is_err());
        assert!(parse(&[]).unwrap().namespaces.is_empty());
    }
}
