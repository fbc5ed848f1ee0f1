//! Answers to wrong arguments: at most three lines.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;

/// Prints what was asked for (help, version) and gives 0, or says in at most three lines what is wrong and gives 2.
pub(super) fn answer(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // Standard error may be closed; the exit code still tells.
    let _ = io::stderr().write_all(in_three_lines(&error.to_string()).as_bytes());
    ExitCode::from(2)
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
    use super::in_three_lines;
    use crate::cli::parse;

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
            let arguments = std::iter::once("playback-grant-operator").chain(wrong.iter().copied()).map(Into::into);
            let said = in_three_lines(&parse(arguments).unwrap_err().to_string());
            assert!(said.starts_with("error: ") && said.ends_with("try '--help'.\n"), "{wrong:?}: {said}");
            assert!((2..=3).contains(&said.lines().count()), "{wrong:?}: {said}");
        }
    }
}
