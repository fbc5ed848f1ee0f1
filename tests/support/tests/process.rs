//! A program on a leash: what it says, how it ends, and that it never outlives its starter.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use playback_grant_testbed::{Launch, ManagedProcess, free_ports, start_on_free_port};

const PATIENCE: Duration = Duration::from_mins(1);

async fn shell(log: &Path, script: &str) -> anyhow::Result<ManagedProcess> {
    Launch::new("/bin/sh", log).args(["-c", script]).env("GREETING", "hello").start().await
}

#[tokio::test]
async fn what_a_program_says_and_how_it_ends_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let process = shell(&folder.path().join("log"), "echo $GREETING; echo trouble >&2; exit 7").await.unwrap();
    assert_eq!(process.wait_exited(PATIENCE).await.unwrap(), 7);
    assert_eq!(process.last_lines(10), "hello\ntrouble");
    assert_eq!(process.last_lines(1), "trouble");
}

#[tokio::test]
async fn a_program_is_killed_without_a_chance_or_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let killed = shell(&folder.path().join("killed"), "exec sleep 600").await.unwrap();
    killed.kill9();
    assert_eq!(killed.wait_exited(PATIENCE).await.unwrap(), 128 + 9);

    let log = folder.path().join("asked");
    let asked = shell(&log, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done").await.unwrap();
    says(&asked, "ready").await;
    assert_eq!(asked.terminate(PATIENCE).await.unwrap(), 3);
    assert!(asked.last_lines(1).contains("bye"), "{}", asked.last_lines(10));
}

#[tokio::test]
async fn a_held_program_does_nothing_until_it_may_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let process = shell(&folder.path().join("log"), "while :; do echo tick; sleep 0.01; done").await.unwrap();
    says(&process, "tick").await;
    process.stop();
    until(|| state(process.pid()) == Some('T')).await;
    process.cont();
    until(|| state(process.pid()).is_some_and(|state| state != 'T')).await;
    assert_eq!(process.exit_code(), None);
}

#[tokio::test]
async fn a_program_does_not_outlive_its_starter_even_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // A starter of its own, so that it can be killed: it holds the leash as a test does.
    let mut starter = Command::new("/bin/sh")
        .args(["-c", "sleep 600 | sh -c \"$0\" leash \"$1\" /bin/sleep 601"])
        .arg(include_str!("../src/leash.sh"))
        .arg(&log)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(starter.stdout.take().unwrap()), &mut line).unwrap();
    let program: i32 = line.trim().parse().unwrap();
    assert!(state(program).is_some(), "the program doesn't run");
    let holder = children(i32::try_from(starter.id()).unwrap()).into_iter().find(|child| command(*child).contains("600")).unwrap();
    assert!(Command::new("kill").args(["-9", &holder.to_string()]).status().unwrap().success());
    until(|| state(program).is_none_or(|state| state == 'Z')).await;
    starter.wait().unwrap();
}

#[tokio::test]
async fn a_dropped_program_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let process = shell(&folder.path().join("log"), "exec sleep 600").await.unwrap();
    let pid = process.pid();
    drop(process);
    until(|| state(pid).is_none_or(|state| state == 'Z')).await;
}

#[tokio::test]
async fn a_program_that_ends_before_it_listens_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let started = start_on_free_port(|port| Launch::new("/bin/sh", &log).args(["-c", &format!("echo no port {port} today; exit 4")])).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("sh ended with code 4") && error.contains("today"), "{error}");
}

#[test]
fn free_ports_are_different() {
    let ports: [u16; 20] = free_ports().unwrap();
    assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
}

async fn says(process: &ManagedProcess, word: &str) {
    until(|| process.last_lines(1000).contains(word)).await;
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "what is waited for doesn't happen");
}

/// The state of a process as the kernel tells it: `T` is stopped, `Z` ended; none: there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn command(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
