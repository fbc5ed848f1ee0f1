//! The operator's command line, as a shell sees it: what goes to standard output, what to standard error, and the exit code.

use std::fs::OpenOptions;
use std::io;
use std::process::{Command, Output, Stdio};

fn operator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playback-grant-operator"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> io::Result<Output> {
    operator(arguments).output()
}

#[test]
fn the_definition_is_printed_as_it_is_shipped() {
    let output = run(&["crd"]).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), include_str!("../crds/playbackgrantrequests.yaml"));
    assert!(output.stderr.is_empty());
}

#[test]
fn what_can_not_be_printed_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = operator(&["crd"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: standard output can't be written to"));
}

#[test]
fn wrong_usage_is_answered_in_at_most_three_lines() {
    let wrong: [&[&str]; 12] = [
        &[],
        &["serve"],
        &["crd", "--now"],
        &["controller", "--log-format", "xml"],
        &["controller", "--namespace", "Web"],
        &["controller", "--media-api-url", "http://media.example.com"],
        &["controller", "--allow-insecure-media-api=perhaps"],
        &["controller", "--media-api-ca-file"],
        &["controller", "--bind-address", "here"],
        &["controller", "--log-level", "verbose"],
        &["controller", "--max-in-flight", "0"],
        &["controller", "--no-such-flag"],
    ];
    for arguments in wrong {
        let output = run(arguments).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() <= 3, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_value_in_the_environment_is_wrong_usage_too() {
    for (name, value) in [
        ("MEDIA_API_URL", "ftp://media.example.com"),
        ("ALLOW_INSECURE_MEDIA_API", "perhaps"),
        ("NAMESPACE", "web,Web"),
        ("BIND_ADDRESS", "here"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "verbose"),
        ("MAX_IN_FLIGHT", "0"),
    ] {
        let output = operator(&["controller"]).env(format!("PLAYBACK_GRANT_{name}"), value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() <= 3, "{name}: {said}");
    }
}

#[test]
fn a_flag_can_be_given_by_the_environment_and_a_password_in_it_is_not_shown() {
    let url = "https://user:hunter2@media.example.com";
    for asked in [&["controller"][..], &["controller", "--help"], &["controller", "--media-api-url", url]] {
        let output = operator(asked).env("PLAYBACK_GRANT_MEDIA_API_URL", url).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(if asked.contains(&"--help") { 0 } else { 2 }), "{said}");
        assert!(said.contains("media-api-url") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_told_by_its_path_and_never_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    for (kubeconfig, words) in [
        (Some("apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user:\n    token: planted-token: oops\n"), "names no cluster"),
        (Some("users: [{name: u, user: {token: [planted-token]}}]"), "names no cluster"),
        (Some(""), "names no cluster"),
        (None, "which can't be read"),
    ] {
        let _ = std::fs::remove_file(&path);
        if let Some(kubeconfig) = kubeconfig {
            std::fs::write(&path, kubeconfig).unwrap();
        }
        let output = operator(&["controller", "--bind-address", "127.0.0.1:0"]).env("KUBECONFIG", &path).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains(path.to_str().unwrap()) && !said.contains("planted-token"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let output = run(&["--version"]).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let commit = said.trim_end().strip_prefix(concat!("playback-grant-operator ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let commit = commit.strip_suffix(')').unwrap();
    assert!(commit == "unknown" || (commit.len() >= 12 && commit.bytes().all(|b| b.is_ascii_hexdigit())), "{said}");
    assert_eq!(output.status.code(), Some(0));
}
