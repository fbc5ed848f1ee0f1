//! The programs' settings, from their flags' help.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use playback_grant_operator::cli::Cli;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the programs' flags: change src/cli, then run `make docs`. -->

Each flag of `controller` is an environment variable too; the flag counts where both are given. Lists are repeated flags, or one value by comma. The chart's
values that set them are in the [chart's README](../deploy/chart/README.md).

The Media API is reached through the proxies of the usual variables (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`); the API server never is.
";

/// The configuration as Markdown.
pub fn text() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut root = Cli::command();
    root.build();
    commands(&mut text, &root, "");
    text
}

fn commands(text: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent}{}", command.get_name());
    let flags: Vec<&Arg> = command.get_arguments().filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version")).collect();
    if !flags.is_empty() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        // Writing into a String doesn't fail.
        let _ = write!(text, "\n## `{name}`\n{about}.\n\n| flag | variable | what it does | default |\n|---|---|---|---|\n");
        for flag in flags {
            let _ = writeln!(text, "| {} | {} | {} | {} |", spelled(flag), variable(flag), described(flag), default(flag));
        }
    }
    for inner in command.get_subcommands() {
        commands(text, inner, &format!("{name} "));
    }
}

fn spelled(flag: &Arg) -> String {
    let value = flag.get_num_args().filter(clap::builder::ValueRange::takes_values).map(|_| {
        let names = flag.get_value_names().unwrap_or_default();
        format!(" {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    });
    let short = flag.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    format!("{short}`--{}{}`", flag.get_long().unwrap_or_default(), value.unwrap_or_default())
}

fn variable(flag: &Arg) -> String {
    flag.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn described(flag: &Arg) -> String {
    let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let values: Vec<String> = flag.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let takes_value = flag.get_num_args().is_some_and(|number| number.takes_values());
    let allowed = if takes_value && !values.is_empty() { format!(": {}", values.join(" or ")) } else { String::new() };
    format!("{}{allowed}", help.trim_end_matches('.'))
}

fn default(flag: &Arg) -> String {
    let values: Vec<String> = flag.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let takes_value = flag.get_num_args().is_some_and(|number| number.takes_values());
    if takes_value && !values.is_empty() { format!("`{}`", values.join(",")) } else { String::new() }
}
