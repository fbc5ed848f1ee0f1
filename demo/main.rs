//! The operator at work, on a real API server and against the Media API simulator, for a person to watch: `make demo`.

mod arguments;
mod board;
mod interrupt;
mod observe;
mod screen;
mod simulator;
mod stage;
mod tokens;
mod try_out;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use arguments::Arguments;
use interrupt::Interrupt;
use screen::Screen;
use stage::{Stage, in_project};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether all was well.
async fn run(arguments: &Arguments) -> Result<bool> {
    let mut screen = Screen::new();
    let mut interrupt = Interrupt::new()?;
    let stage = tokio::select! {
        biased;
        () = interrupt.wait() => anyhow::bail!("stopped before everything had started"),
        stage = Stage::set(&mut screen) => stage?,
    };
    screen.say(&try_out::text(&stage))?;
    let outcome = observe::observe(&stage, arguments, &mut screen, &mut interrupt).await;
    let cleared = stage.clear().await;
    let outcome = outcome?;
    screen.say(&outcome.text)?;
    cleared?;
    // Without a time, it is Ctrl-C that ends the demo, and nothing is judged.
    Ok(outcome.passed || arguments.run_for.is_none())
}
