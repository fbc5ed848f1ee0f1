//! Calls beyond this machine, which the environment's proxy variables govern. Each is made by a process of its own: a process can't safely
//! change its own environment, and these tests mustn't depend on the one that they are started in.

use std::process::Stdio;

use tokio::process::Command;

use crate::server::{Server, Step};
use crate::support::{SID, ask, grant_answer, shows_something_planted};

const BASE_URL: &str = "MEDIA_TEST_BASE_URL";
const PROXY_VARIABLES: [&str; 8] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];

/// What a call in a process of its own came to: the failure's name and text, or `Granted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub failure: String,
    pub text: String,
}

impl Outcome {
    /// Whatever this machine's own name service makes of a name that nobody has.
    fn is_unresolved(&self) -> bool {
        self.failure.starts_with("NameNotResolved ")
    }
}

/// Two roles: in the process that another test has started it makes the call; in any other it has it made, without a proxy.
#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    if let Ok(base_url) = std::env::var(BASE_URL) {
        let (failure, text) = match ask(&base_url).await {
            Ok(_) => ("Granted".to_owned(), String::new()),
            Err(error) => (format!("{:?}", error.failure), error.failure.to_string()),
        };
        println!("\nOUTCOME\t{failure}\t{text}");
        return;
    }
    assert!(unresolved().await.is_unresolved());
}

async fn call_in_own_process(base_url: &str, variables: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    command.args(["environment::a_name_that_does_not_resolve_is_named", "--exact", "--nocapture"]);
    command.env(BASE_URL, base_url).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(!shows_something_planted(&shown), "{shown}");
    let outcome = shown.lines().find_map(|line| line.strip_prefix("OUTCOME\t")).expect(&shown);
    let (failure, text) = outcome.split_once('\t').unwrap();
    Outcome { failure: failure.to_owned(), text: text.to_owned() }
}

async fn unresolved() -> Outcome {
    call_in_own_process("http://nonexistent.invalid", &[]).await
}

/// The kernel itself refuses a TCP connection to the broadcast address; nothing leaves this machine.
async fn unreachable() -> Outcome {
    call_in_own_process("http://255.255.255.255", &[]).await
}

async fn refused_by_proxy(proxy: &Server) -> Outcome {
    call_in_own_process("https://media.invalid", &[("HTTPS_PROXY", &format!("http://proxy:planted-password@{}", proxy.address))]).await
}

async fn refusing_proxy() -> Server {
    Server::answering("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await
}

/// One outcome for each way in which a call beyond this machine fails to connect.
pub async fn provoked() -> Vec<Outcome> {
    vec![unresolved().await, unreachable().await, refused_by_proxy(&refusing_proxy().await).await]
}

#[tokio::test]
async fn no_route_is_named() {
    let outcome = unreachable().await;
    assert_eq!(outcome.failure, "ConnectFailed { kind: Some(NetworkUnreachable) }");
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_of_the_environment() {
    let proxy = Server::answering(grant_answer()).await;
    let outcome = call_in_own_process("http://media.invalid", &[("HTTP_PROXY", &format!("http://{}", proxy.address))]).await;
    assert_eq!(outcome.failure, "Granted", "{}", outcome.text);
    let request = proxy.seen().requests.remove(0);
    assert!(request.starts_with(&format!("POST http://media.invalid/v1/PlayerStreamers/{SID}/PlaybackGrant HTTP/1.1\r\n")), "{request}");
}

#[tokio::test]
async fn https_asks_the_proxy_for_a_tunnel_and_shows_it_no_credentials() {
    let proxy = refusing_proxy().await;
    let outcome = refused_by_proxy(&proxy).await;
    assert_eq!(outcome.failure, "ConnectFailed { kind: None }", "{}", outcome.text);
    let request = proxy.seen().requests.remove(0);
    assert!(request.starts_with("CONNECT media.invalid:443 HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("\r\nauthorization:") && !shows_something_planted(&request), "{request}");
}

#[tokio::test]
async fn no_proxy_is_heeded() {
    let proxy = Server::playing(vec![Step::AwaitClose]).await;
    let variables = [("HTTP_PROXY", format!("http://{}", proxy.address)), ("NO_PROXY", "invalid".to_owned())];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let outcome = call_in_own_process("http://media.invalid", &variables).await;
    assert!(outcome.is_unresolved() && proxy.seen().connections == 0, "{outcome:?}");
}

#[tokio::test]
async fn this_machine_is_never_reached_through_a_proxy() {
    let (proxy, server) = (Server::playing(vec![Step::AwaitClose]).await, Server::answering(grant_answer()).await);
    let variables = [("ALL_PROXY", format!("http://{}", proxy.address)), ("HTTP_PROXY", format!("http://{}", proxy.address))];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let outcome = call_in_own_process(&format!("http://{}", server.address), &variables).await;
    assert_eq!((outcome.failure.as_str(), proxy.seen().connections, server.seen().connections), ("Granted", 0, 1));
}
