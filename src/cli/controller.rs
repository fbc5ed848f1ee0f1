//! The flags of `playback-grant-operator controller`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::listen::parse_address;
use crate::media::{MediaApiUrl, MediaApiUrlError};
use crate::telemetry;

/// The Media API's own address.
pub const DEFAULT_MEDIA_API_URL: &str = "https://media.twilio.com";

/// How the controller runs. Every flag can also be given as an environment variable.
#[derive(Args, Clone, Debug)]
pub struct ControllerArgs {
    /// The Media API's address: https, or plain http to a loopback host.
    #[arg(long, env = "PLAYBACK_GRANT_MEDIA_API_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_MEDIA_API_URL)]
    pub(super) media_api_url: String,

    /// Allow plain http to a host that isn't loopback: credentials and grants then cross the network readable.
    #[arg(long, env = "PLAYBACK_GRANT_ALLOW_INSECURE_MEDIA_API")]
    pub(super) allow_insecure_media_api: bool,

    /// A PEM file of certificate authorities to trust for the Media API, besides the system's.
    #[arg(long, env = "PLAYBACK_GRANT_MEDIA_API_CA_FILE", value_name = "FILE")]
    pub media_api_ca_file: Option<PathBuf>,

    /// A namespace to serve; may be repeated, or list several by comma. Without it: all.
    #[arg(long = "namespace", env = "PLAYBACK_GRANT_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',', value_parser = parse_namespace)]
    pub namespaces: Vec<String>,

    /// Where to serve /livez, /readyz and /metrics. Without it: [::]:8080, or 0.0.0.0:8080 where there is no IPv6.
    #[arg(long, env = "PLAYBACK_GRANT_BIND_ADDRESS", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    pub bind_address: Option<SocketAddr>,

    /// How log lines are written.
    #[arg(long, env = "PLAYBACK_GRANT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or directives such as info,kube=debug.
    #[arg(long, env = "PLAYBACK_GRANT_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_log_level)]
    pub log_level: String,

    /// The most Media API calls under way at once, 1 to 65536.
    #[arg(long, env = "PLAYBACK_GRANT_MAX_IN_FLIGHT", value_name = "CALLS", default_value_t = 512, value_parser = parse_in_flight)]
    pub max_in_flight: u32,

    /// For large fleets: statuses of requests that are refreshed more often than this leave out what each refresh changes: `grant` (and with it the column EXPIRES) and `nextRefreshTime`.
    #[arg(long, env = "PLAYBACK_GRANT_STATUS_INTERVAL", value_name = "SECONDS", default_value_t = 0, value_parser = parse_seconds)]
    pub status_interval: u32,

    /// Tell in /metrics when the grant of each request expires: a series for each request.
    #[arg(long, env = "PLAYBACK_GRANT_PER_OBJECT_METRICS")]
    pub per_object_metrics: bool,
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

impl ControllerArgs {
    /// Where the Media API is.
    pub fn media_api_url(&self) -> Result<MediaApiUrl, MediaApiUrlError> {
        MediaApiUrl::parse(&self.media_api_url, self.allow_insecure_media_api)
    }
}

/// Checks what no flag can tell by itself. The URL isn't parsed with the flags, since clap's answer would show it, and it may hold a password.
pub(super) fn check(arguments: &ControllerArgs) -> Result<(), clap::Error> {
    arguments.media_api_url().map_err(|error| {
        let insecure = if error == MediaApiUrlError::Insecure { " (--allow-insecure-media-api)" } else { "" };
        let message = format!("--media-api-url, or PLAYBACK_GRANT_MEDIA_API_URL: {error}{insecure}");
        let mut command = super::Cli::command();
        command.build();
        let own = command.find_subcommand("controller").cloned();
        own.unwrap_or(command).error(ErrorKind::ValueValidation, message)
    })?;
    Ok(())
}

pub(super) fn parse_namespace(text: &str) -> Result<String, &'static str> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if text.is_empty() {
        Err("it is empty: give a namespace's name, or leave it out to serve all namespaces")
    } else if fits && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a namespace's name has at most 63 lower case letters, digits and hyphens")
    }
}

fn parse_in_flight(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|calls| (1..=65_536).contains(calls)).ok_or("give a number from 1 to 65536")
}

fn parse_seconds(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "give whole seconds without a unit, up to 4294967295, such as 10, or 0 for statuses that leave nothing out")
}

fn parse_log_level(text: &str) -> Result<String, &'static str> {
    // A word that is no level would pass for the name of a target, and silence all others.
    let is_word = |directive: &str| !directive.contains(['=', '[', ':']);
    let levels_are_levels = text.split(',').all(|directive| !is_word(directive) || LevelFilter::from_str(directive.trim()).is_ok());
    if levels_are_levels && !text.trim().is_empty() && text.parse::<tracing_subscriber::filter::Targets>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("give error, warn, info, debug or trace, or directives such as info,kube=debug")
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
        let told = parse(&["--media-api-url", "ftp://media.example.com"]).unwrap_err().to_string();
        let names = ["--media-api-url, or PLAYBACK_GRANT_MEDIA_API_URL: ", "Usage: playback-grant-operator controller "];
        assert!(names.iter().all(|name| told.contains(name)), "{told}");
    }

    #[test]
    fn a_level_is_one_of_five_words_or_a_directive() {
        for fine in ["info", "TRACE", "off", "info,kube=debug", "playback_grant_operator::media=trace", "warn,kube=info"] {
            assert!(parse(&["--log-level", fine]).is_ok(), "{fine}");
        }
        for wrong in ["", " ", "verbose", "warning", "info,verbose", "kube=loud", "info;debug"] {
            assert!(parse(&["--log-level", wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn namespaces_are_repeated_or_listed() {
        assert_eq!(parse(&["--namespace", "web,kiosk", "--namespace", "shop"]).unwrap().namespaces, ["web", "kiosk", "shop"]);
        assert!(parse(&["--namespace", "web,"]).is_err());
        assert!(parse(&[]).unwrap().namespaces.is_empty());
    }
}
