//! The operator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    playback_grant_operator::cli::run(std::env::args_os())
}
