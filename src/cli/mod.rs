//! The operator's command line: what can be asked of the program, and its exit code.

mod cluster;
pub mod controller;
mod serve;
pub mod token;
pub mod usage;
mod variables;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::api::crd;

/// Keeps Media API playback grants in Secrets, replaced before they expire.
#[derive(Debug, Parser)]
#[command(name = "playback-grant-operator", version = VERSION, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PLAYBACK_GRANT_COMMIT"), ")");

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller.
    Controller(controller::ControllerArgs),
    /// Print the custom resource definition, for `kubectl apply --server-side -f -`.
    Crd,
    /// Look at Access Tokens.
    #[command(subcommand, arg_required_else_help = false)]
    Token(token::TokenCommand),
}

/// Does what the arguments ask for. The exit code is 0 when it is done, 1 when it failed, 2 when the arguments are wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match parse(arguments.iter().cloned()) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(usage::discreet(error), &arguments),
    };
    let outcome = match cli.command {
        Command::Controller(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Crd => print_crd().map(|()| ExitCode::SUCCESS),
        Command::Token(token::TokenCommand::Decode(arguments)) => token::decode(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be closed; the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    // By itself clap answers a missing command with the whole help.
    let matches = Cli::command().arg_required_else_help(false).try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if let Command::Controller(arguments) = &cli.command {
        controller::check(arguments)?;
    }
    Ok(cli)
}

fn print_crd() -> anyhow::Result<()> {
    print(&crd::yaml().context("the custom resource definition can't be written as YAML")?)
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("standard output can't be written to: see where it is directed")
}
