//! Answers to wrong arguments: at most three lines.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Prints what was asked for (help, version) and gives 0, or says in at most three lines what is wrong and gives 2.
pub(super) fn answer(error: clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let is_set = |variable: &str| std::env::var_os(variable).is_some();
    // Standard error may be closed; the exit code still tells.
    let _ = io::stderr().write_all(in_three_lines(&with_origin(error, arguments, is_set).to_string()).as_bytes());
    ExitCode::from(2)
}

/// The same without what may be a token, a key or a password: an argument that has no place, and what is given for a Secret's name.
#[must_use]
pub fn discreet(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    match error.kind() {
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            error.remove(ContextKind::Suggested);
            error.insert(ContextKind::InvalidArg, ContextValue::String(NOT_SHOWN.to_owned()));
        }
        ErrorKind::ValueValidation if ["--secret ", "--key-secret "].iter().any(|flag| argument.starts_with(flag)) => {
            error.insert(ContextKind::InvalidValue, ContextValue::String(NOT_SHOWN.to_owned()));
        }
        _ => {}
    }
    error
}

const NOT_SHOWN: &str = "(not shown: it may be secret)";

/// What was set by the environment is named by its variable. `is_set`: whether there is one of that name.
fn with_origin(mut error: clap::Error, arguments: &[OsString], is_set: impl Fn(&str) -> bool) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    let command = super::Cli::command();
    let known = command.find_subcommand("controller").into_iter().flat_map(clap::Command::get_arguments);
    let variable =
        known.filter_map(|known| Some((format!("--{}", known.get_long()?), known.get_env()?.to_str()?))).find(|(long, variable)| {
            let given = arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| argument.split('=').next() == Some(long));
            flag.split_whitespace().next() == Some(long) && !given && is_set(variable)
        });
    if let Some((_, variable)) = variable {
        error.insert(ContextKind::InvalidArg, ContextValue::String(format!("{variable} ({flag})")));
    }
    error
}

/// Clap's answer comes in paragraphs: what is wrong, a tip or the usage, where to read more. Each of the first two becomes a line.
fn in_three_lines(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut lines: Vec<String> = paragraphs.filter(|line| !line.is_empty() && !line.starts_with("For more information")).take(2).collect();
    lines.push("For more information, try '--help'.\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{OsString, discreet, in_three_lines, with_origin};
    use crate::cli::parse;

    fn arguments(given: &[&str]) -> Vec<OsString> {
        std::iter::once("playback-grant-operator").chain(given.iter().copied()).map(Into::into).collect()
    }

    /// What is said where the parser meets `wrong`, of which so much was given as arguments.
    fn said(wrong: &[&str], given: usize, is_set: fn(&str) -> bool) -> String {
        let error = discreet(parse(arguments(wrong)).unwrap_err());
        in_three_lines(&with_origin(error, &arguments(&wrong[..given]), is_set).to_string())
    }

    #[test]
    fn every_kind_of_mistake_is_answered_in_two_or_three_lines() {
        for wrong in [
            &[][..],
            &["contoller"],
            &["crd", "extra"],
            &["token"],
            &["token", "decode", "token"],
            &["controller", "--no-such-flag"],
            &["controller", "--max-in-flight"],
            &["controller", "--max-in-flight", "many"],
            &["controller", "--max-in-flight", "0"],
            &["controller", "--log-format", "a\n\nb\n\nc"],
            &["controller", "--media-api-url", "ftp://x"],
            &["controller", "--bind-address", "here"],
            &["controller", "--media-api-url", "http://media.example.com"],
        ] {
            let said = said(wrong, wrong.len(), |_| false);
            assert!(said.starts_with("error: ") && said.ends_with("try '--help'.\n"), "{wrong:?}: {said}");
            assert!((2..=3).contains(&said.lines().count()), "{wrong:?}: {said}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_quoted() {
        for wrong in [
            &["token", "decode", "Planted.secret"][..],
            &["token", "decode", "--secret", "Planted.secret"],
            &["token", "decode", "--key-secret", "Planted/secret"],
            &["token", "decode", "--key-secret=Planted/secret"],
            &["controller", "Planted"],
            &["crd", "Planted"],
        ] {
            let said = said(wrong, wrong.len(), |_| false);
            assert!(!said.contains("Planted") && said.contains("(not shown: it may be secret)"), "{wrong:?}: {said}");
        }
        let said = said(&["controller", "--bind-address", "8080"], 3, |_| false);
        assert!(said.contains("'8080'") && said.contains("such as 127.0.0.1:8080"), "{said}");
    }

    #[test]
    fn what_the_environment_has_set_is_named_by_its_variable() {
        let wrong = ["controller", "--max-in-flight", "many"];
        let is_set: fn(&str) -> bool = |variable| variable == "PLAYBACK_GRANT_MAX_IN_FLIGHT";
        let by_variable = "'many' for 'PLAYBACK_GRANT_MAX_IN_FLIGHT (--max-in-flight <CALLS>)': give a number";
        assert!(said(&wrong, 1, is_set).contains(by_variable), "{}", said(&wrong, 1, is_set));
        for (given, is_set) in [(3, is_set), (1, |_: &str| false)] {
            let said = said(&wrong, given, is_set);
            assert!(said.contains("'many' for '--max-in-flight <CALLS>': give a number"), "{said}");
        }
    }
}
