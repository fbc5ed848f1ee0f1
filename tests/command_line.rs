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
    let wrong: [&[&str]; 21] = [
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
        &["controller", "--status-interval", "-1"],
        &["controller", "--per-object-metrics=perhaps"],
        &["controller", "--no-such-flag"],
        &["token"],
        &["token", "encode"],
        &["token", "decode", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"],
        &["token", "decode", "--key", "secret"],
        &["token", "decode", "--key-file", "f", "--key-secret", "s"],
        &["token", "decode", "--secret", "No_name"],
        &["token", "decode", "--namespace", "web"],
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
        ("LOG_LEVEL", ""),
        ("MAX_IN_FLIGHT", "0"),
        ("STATUS_INTERVAL", "1m"),
        ("PER_OBJECT_METRICS", "perhaps"),
    ] {
        let output = operator(&["controller"]).env(format!("PLAYBACK_GRANT_{name}"), value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() <= 3, "{name}: {said}");
        // Of the URL it may hold a password, so it isn't the parser that reads it.
        assert!(name == "MEDIA_API_URL" || said.contains(&format!("PLAYBACK_GRANT_{name}")), "{name}: {said}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_no_reason_to_call_without_one() {
    for (value, words) in [("http://user:planted@:bad", "is no proxy's URL"), ("socks5://planted:1080", "can't be used")] {
        let output = operator(&["controller"]).env("HTTPS_PROXY", value).env("KUBECONFIG", "/nowhere").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("HTTPS_PROXY") && said.contains(words) && !said.contains("planted"), "{said}");
    }
}

#[test]
fn a_variable_that_is_nearly_one_of_the_operators_is_told_of() {
    let output = operator(&["controller"]).env("PLAYBACK_GRANT_NAMESPACES", "web").env("KUBECONFIG", "/nowhere").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("PLAYBACK_GRANT_NAMESPACES is not read: PLAYBACK_GRANT_NAMESPACE is"), "{said}");
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

const KEY: &str = "an-example-not-a-secret-of-32-by";

/// A token that has been signed with [`KEY`], and lives for so many seconds more.
fn token(seconds: i64) -> Option<String> {
    use playback_grant_operator::media::Grant;
    use playback_grant_operator::token::{AccessTokenIdentity, AccessTokenSpec, AccessTokenTtl, Carried, Nonce, SigningKey, sign};
    use secrecy::ExposeSecret as _;
    let key = SigningKey::new(&format!("SK{}", "a".repeat(32)), KEY.into());
    let spec = AccessTokenSpec { identity: AccessTokenIdentity::parse("kiosk-1")?, ttl: AccessTokenTtl::from_seconds(3600)? };
    let grant = Grant::from_stored(r#"{"playbackUrl":"https://play.example/a.m3u8?token=planted"}"#, None)?;
    let account = format!("AC{}", "a".repeat(32));
    let signed_at = playback_grant_operator::clock::Clock::MACHINE.wall() + k8s_openapi::jiff::SignedDuration::from_secs(seconds - 3600);
    let token = sign(&key, &spec, Carried { grant: &grant, account_sid: &account }, signed_at, Nonce(1))?;
    Some(token.token.expose_secret().to_owned())
}

/// What `token decode` says to that standard input: exit code, standard output, standard error.
fn decode(input: &str, arguments: &[&str]) -> io::Result<(Option<i32>, String, String)> {
    use std::io::Write as _;
    let mut command = operator(&["token", "decode"]);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // It may end before it has read all of it.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(io::Error::other);
    Ok((output.status.code(), text(output.stdout)?, text(output.stderr)?))
}

#[test]
fn a_token_is_read_from_standard_input_and_verified_with_the_key_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, newline, wrong) = (file("right", KEY), file("newline", &format!("{KEY}\n")), file("wrong", "another"));
    let good = token(600).unwrap();
    for (input, arguments, code, said) in [
        (good.clone(), vec![], 0, "signature  not verified"),
        (format!("  {good}\n"), vec!["--key-file", &right], 0, "signature  good, by the key in"),
        (good.clone(), vec!["--key-file", &newline], 0, "token      good\n"),
        (good.clone(), vec!["--key-file", &wrong], 1, "  20107  "),
        (token(-5).unwrap(), vec!["--key-file", &right], 1, "  20104  "),
        (token(-5).unwrap(), vec![], 1, "  20104  "),
    ] {
        let (found, out, err) = decode(&input, &arguments).unwrap();
        assert_eq!((found, err.as_str()), (Some(code), ""), "{arguments:?}: {out}");
        assert!(out.contains(said) && out.contains("kiosk-1\n"), "{arguments:?}: {out}");
        assert!(!out.contains("planted") && !out.contains(KEY), "{arguments:?}: {out}");
    }
    assert!(decode(&good, &["--show-secrets"]).unwrap().1.contains("https://play.example/a.m3u8?token=planted"));
}

#[test]
fn what_is_no_token_and_what_is_no_key_is_an_error_that_shows_neither() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let blank = folder.path().join("blank");
    std::fs::write(&blank, format!("{KEY}\n\n")).unwrap();
    let blank = blank.to_str().unwrap();
    let (empty, absent) = (empty.to_str().unwrap(), folder.path().join("absent"));
    let good = token(600).unwrap();
    for (input, arguments, said) in [
        (
            "planted",
            vec![],
            "error: what is in standard input is no Access Token (the Media API's error 20101): a token has 3 parts between dots, and this has 1",
        ),
        ("planted.planted.planted", vec![], "(the Media API's error 20101): not all of its header is base64url"),
        ("", vec![], "error: standard input is empty: give a token there, or name a Secret with --secret"),
        (&good, vec!["--key-file", empty], "is empty: put the API key's secret there"),
        (&good, vec!["--key-file", folder.path().to_str().unwrap()], "error: --key-file: "),
        (&good, vec!["--key-file", blank], "has blanks or line breaks around or in the key"),
        (&format!("Bearer {good}"), vec![], "(the Media API's error 20101): a header's words stand before it"),
        (&good, vec!["--key-file", absent.to_str().unwrap()], "error: --key-file: "),
        (&good, vec!["--key-secret", "media-api"], "error: no cluster is configured"),
        (&good, vec!["--secret", "keynote"], "error: no cluster is configured"),
    ] {
        let (code, out, err) = decode(input, &arguments).unwrap();
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {err}");
        assert!(err.contains(said) && err.lines().count() == 1 && !err.contains("planted"), "{arguments:?}: {err}");
    }
    let (code, out, err) = decode(&"planted".repeat(200_000), &[]).unwrap();
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("has more than 1048576 bytes"), "{err}");
}
