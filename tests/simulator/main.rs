//! The simulator as a program: its first line, its help, its exit codes.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like the tests themselves")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_media-api-simulator");
const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Ends the program with the test, also with one that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program on a free port; gives the address from its first line.
fn start(arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.to_owned();
    (running, address)
}

fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Calls for a grant as user `u` with password `p`; gives the status line.
fn call(address: &str) -> String {
    let head = "Host: simulator\r\nAuthorization: Basic dTpw\r\nConnection: close";
    let answer = exchange(address, &format!("POST /v1/PlayerStreamers/{STREAMER}/PlaybackGrant HTTP/1.1\r\n{head}\r\n\r\n"));
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    for name in ["TERM", "INT"] {
        let (mut running, address) = start(&["--fault", "500:1x", "--latency", "1ms"]);
        assert_eq!(call(&address), "HTTP/1.1 500 Internal Server Error");
        assert_eq!(call(&address), "HTTP/1.1 201 Created");
        let kill = format!("kill -{name} {}", running.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn a_call_that_hangs_does_not_hold_up_its_end() {
    let (mut running, address) = start(&["--fault", "hang"]);
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "POST /v1/PlayerStreamers/{STREAMER}/PlaybackGrant HTTP/1.1\r\nHost: simulator\r\n\r\n").unwrap();
    let under_way = || exchange(&address, "GET /admin/counters HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n");
    let seen = (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        under_way().contains("\"in_flight\":1")
    });
    assert!(seen, "the call never came");
    assert!(Command::new("sh").args(["-c", &format!("kill -TERM {}", running.0.id())]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn credentials_come_from_arguments_and_a_file() {
    let account = "AC00000000000000000000000000000001";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "# the one that calls\nu:p:{account}").unwrap();
    let (_running, address) = start(&["--credentials-file", file.path().to_str().unwrap()]);
    assert_eq!(call(&address), "HTTP/1.1 201 Created");
    let (_running, address) = start(&["--credentials", &format!("u:other:{account}"), "--credentials", &format!("v:p:{account}")]);
    assert_eq!(call(&address), "HTTP/1.1 401 Unauthorized");
}

#[test]
fn wrong_usage_is_2_and_at_most_three_lines_without_a_password() {
    for arguments in [
        &["--nonsense"][..],
        &["hunter2"],
        &["--listen", "nowhere"],
        &["--latency", "4"],
        &["--fault", "boom"],
        &["--fault"],
        &["--credentials", "SK1:hunter2"],
        &["--credentials", "SK1:hunter2:AC1"],
    ] {
        let output = run(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!((1..=3).contains(&message.lines().count()), "{message}");
        // What has no place may be anything.
        let named = if arguments[0].starts_with('-') { arguments[0] } else { "(not shown: it may be secret)" };
        assert!(message.contains(named) && !message.contains("hunter2"), "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_certificate_and_its_key_come_together() {
    for [given, missing] in [["--tls-certificate-file", "--tls-key-file"], ["--tls-key-file", "--tls-certificate-file"]] {
        let output = run(&[given, "/nonexistent/file"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(missing) && message.lines().count() <= 3, "{message}");
    }
}

#[test]
fn a_certificate_that_can_not_be_used_is_1_and_the_file_is_named() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/certificates");
    let (good, key, text) = (format!("{folder}/good.pem"), format!("{folder}/server.key"), format!("{folder}/make.sh"));
    let other_key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other_key.path(), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let other_key = other_key.path().to_str().unwrap();
    for (certificate, key, named) in [
        ("/nonexistent/certificate", key.as_str(), "/nonexistent/certificate"),
        (&good, "/nonexistent/key", "/nonexistent/key"),
        (&text, &key, "make.sh holds no certificate"),
        (&good, &text, "make.sh holds no private key"),
        (&good, &good, "good.pem holds no private key"),
        (&good, other_key, "check that the key is the certificate's own"),
    ] {
        let output = run(&["--listen", "127.0.0.1:0", "--tls-certificate-file", certificate, "--tls-key-file", key]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: ") && message.contains(named), "{message}");
        assert!(!message.contains("PRIVATE KEY-----"), "{message}");
    }
}

#[test]
fn what_fails_is_1_and_says_what_to_do() {
    let (_running, address) = start(&[]);
    let in_use = run(&["--listen", &address]);
    let message = String::from_utf8(in_use.stderr).unwrap();
    assert_eq!(in_use.status.code(), Some(1), "{message}");
    assert!(message.contains(&address) && message.contains("port 0"), "{message}");
    let no_file = run(&["--credentials-file", "/nonexistent/credentials"]);
    assert_eq!(no_file.status.code(), Some(1));
    assert!(String::from_utf8(no_file.stderr).unwrap().contains("/nonexistent/credentials"));
}

#[test]
fn the_help_names_every_fault_it_has() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    let boom = String::from_utf8(run(&["--fault", "boom"]).stderr).unwrap();
    let kinds: Vec<_> = boom.lines().next().unwrap().rsplit_once("one of ").unwrap().1.split(", ").map(str::trim).collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    for kind in kinds.into_iter().chain(["--listen", "--latency", "--credentials", "/admin/faults", "/admin/counters", "/admin/calls"]) {
        assert!(help.contains(kind), "{kind}");
    }
}
