//! The Media API simulator's command line.

use clap::Parser;
use playback_grant_operator::cli::usage::discreet;
use playback_grant_operator::listen::parse_address;
use playback_grant_operator::simulator::{
    Fault, KnownCredentials, Simulator, SimulatorConfig, TlsFiles, parse_credentials_lines, parse_duration,
};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = include_str!("media-api-simulator.help");

/// Simulates the Media API's playback grants, with faults to switch on while it runs.
#[derive(Parser)]
#[command(name = "media-api-simulator", version, after_help = HELP)]
struct Arguments {
    /// Where to listen, as ADDRESS:PORT; [::]: all addresses, also where there is no IPv6; port 0: any free one. The first line of output ends with the URL.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8181", value_parser = parse_address)]
    listen: SocketAddr,

    /// Serve https with the certificate in this PEM file, for clients that trust its issuer.
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_certificate_file: Option<PathBuf>,

    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate_file")]
    tls_key_file: Option<PathBuf>,

    /// How much later each call is answered: 250ms, 4s.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = read_duration)]
    latency: Duration,

    /// Accept these credentials, and no others but those given the same way. Repeatable. Without any, every user with a password is
    /// accepted, each with an account of its own. Others on this machine can see arguments: for what is secret take the file.
    #[arg(long, value_name = "USER:PASSWORD:ACCOUNT_SID")]
    credentials: Vec<String>,

    /// The same from a file: one a line; lines that start with # are passed over.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,

    /// Start with this fault on. Repeatable.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
}

fn read_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write 30s, 1.5s, 250ms or 2m".to_owned())
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => {
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
        Err(error) => {
            let text = discreet(error).to_string();
            let lines =
                text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more") && !line.starts_with("Usage:"));
            let shown: Vec<_> = lines.take(2).chain(["media-api-simulator --help shows how to use it"]).collect();
            return finish(2, &shown.join("\n"));
        }
    };
    match known_credentials(&arguments) {
        Err(Problem::Usage(problem)) => finish(2, &format!("error: {problem}")),
        Err(Problem::Failure(problem)) => finish(1, &format!("error: {problem}")),
        Ok(credentials) => match serve(arguments, credentials) {
            Err(error) => finish(1, &format!("error: {error:#}")),
            Ok(()) => ExitCode::SUCCESS,
        },
    }
}

fn finish(code: u8, message: &str) -> ExitCode {
    // Without a standard error there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}

enum Problem {
    Usage(String),
    Failure(String),
}

/// Read here and not by clap, whose messages quote what they couldn't read.
fn known_credentials(arguments: &Arguments) -> Result<Vec<KnownCredentials>, Problem> {
    let given = arguments.credentials.iter().map(|text| text.parse().map_err(|error| Problem::Usage(format!("--credentials: {error}"))));
    let mut known: Vec<KnownCredentials> = given.collect::<Result<_, _>>()?;
    if let Some(file) = &arguments.credentials_file {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| Problem::Failure(format!("can't read {name}: {error}")))?;
        let from_file = parse_credentials_lines(&text).map_err(|(line, error)| Problem::Usage(format!("{name}, line {line}: {error}")))?;
        if from_file.is_empty() {
            return Err(Problem::Usage(format!("{name} holds no credentials; without --credentials-file any are accepted")));
        }
        known.extend(from_file);
    }
    Ok(known)
}

#[tokio::main]
async fn serve(arguments: Arguments, credentials: Vec<KnownCredentials>) -> anyhow::Result<()> {
    let Arguments { listen, tls_certificate_file, tls_key_file, latency, fault: faults, .. } = arguments;
    let tls = tls_certificate_file.zip(tls_key_file).map(|(certificate, key)| TlsFiles { certificate, key });
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(SimulatorConfig { listen, tls, latency, credentials, faults, ..SimulatorConfig::default() }).await?;
    writeln!(std::io::stdout(), "media-api-simulator listens on {}", simulator.base_url())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    drop(simulator);
    Ok(())
}
