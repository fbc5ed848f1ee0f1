//! What is measured on a real API server: what faults cost (`make faults`), and what the operator costs (`make bench`).
//!
//! Exit code 1 where something isn't kept.

#![expect(clippy::print_stdout, reason = "it prints tables")]

mod faults;
mod load;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What is measured on a real API server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The operator's program.
    operator: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// For how long Secrets hold expired grants when something fails.
    Faults(faults::Arguments),
    /// What many requests cost when nothing fails.
    Load(load::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { operator, what } = Arguments::parse();
    let kept = match what {
        What::Faults(arguments) => faults::run(&operator, arguments).await,
        What::Load(arguments) => load::run(&operator, &arguments).await,
    };
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
