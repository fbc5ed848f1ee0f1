//! Faults in which the answer doesn't come, or not whole; and the simulator's end.

use super::{STREAMER, call, start, status, until};
use crate::simulator::{CallOutcome, Clock, Simulator, SimulatorConfig, SystemClock};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A call on a connection of its own, not answered yet.
async fn open_call(simulator: &Simulator) -> TcpStream {
    let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
    let head =
        format!("POST /v1/PlayerStreamers/{STREAMER}/PlaybackGrant HTTP/1.1\r\nHost: simulator\r\nAuthorization: Basic dTpw\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What comes on a connection until it ends.
async fn rest_of(stream: &mut TcpStream) -> (String, Result<usize, ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map_err(|error| error.kind());
    (String::from_utf8(bytes).unwrap(), end)
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_wire() {
    let simulator = start(&["reset:1x"]).await;
    let (bytes, end) = rest_of(&mut open_call(&simulator).await).await;
    assert_eq!((bytes.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));
    assert_eq!(status(&simulator).await, 201);
    assert_eq!(simulator.calls()[0].outcome, CallOutcome::Reset);
    assert_eq!((simulator.counters().total.reset, simulator.counters().total.in_flight), (1, 0));
}

#[tokio::test]
async fn a_torn_answer_ends_in_the_middle_without_a_reset() {
    let simulator = start(&["torn"]).await;
    let (text, end) = rest_of(&mut open_call(&simulator).await).await;
    assert_eq!(end, Ok(text.len()));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let promised: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.parse().ok()).unwrap();
    assert!(head.starts_with("HTTP/1.1 201 Created"));
    assert_eq!(body.len(), promised / 2);
    assert_eq!(simulator.counters().total.reset, 1);
}

#[tokio::test]
async fn what_hangs_hangs_until_the_client_leaves() {
    let simulator = start(&["hang"]).await;
    let streams = [open_call(&simulator).await, open_call(&simulator).await, open_call(&simulator).await];
    until("three calls under way", || simulator.counters().total.in_flight == 3).await;
    simulator.clear_faults();
    assert_eq!(status(&simulator).await, 201);
    let total = simulator.counters().total;
    assert_eq!((total.received, total.answered_201, total.in_flight, total.max_in_flight), (4, 1, 3, 4));
    assert!(simulator.calls()[..3].iter().all(|call| call.outcome == CallOutcome::InFlight));
    for stream in &streams {
        assert_eq!(stream.try_read(&mut [0; 1]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    }
    drop(streams);
    until("three calls unanswered", || simulator.counters().total.unanswered == 3).await;
    assert_eq!(simulator.counters().total.in_flight, 0);
}

#[tokio::test]
async fn latency_is_waited_for_and_adds_up() {
    let clock = SystemClock::start();
    let config = SimulatorConfig {
        latency: Duration::from_millis(40),
        faults: vec!["latency=50ms".parse().unwrap(), "latency=60ms".parse().unwrap()],
        ..SimulatorConfig::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let before = clock.now().uptime;
    assert_eq!(status(&simulator).await, 201);
    assert!(clock.now().uptime.saturating_sub(before) >= Duration::from_millis(150));
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_latency_is_unanswered() {
    let simulator = start(&["latency=1h"]).await;
    let stream = open_call(&simulator).await;
    until("a call under way", || simulator.counters().total.in_flight == 1).await;
    drop(stream);
    until("a call unanswered", || simulator.counters().total.unanswered == 1).await;
}

#[tokio::test]
async fn a_trickle_starts_and_then_keeps_the_client_waiting() {
    let simulator = start(&["trickle=1h"]).await;
    let response = call(&simulator).await.unwrap();
    assert_eq!(response.status(), 201);
    let total = simulator.counters().total;
    assert_eq!((total.in_flight, total.answered_201), (1, 0));
    drop(response);
    until("a call unanswered", || simulator.counters().total.unanswered == 1).await;
}

#[tokio::test]
async fn stopping_ends_what_hangs_and_frees_the_port() {
    let simulator = start(&["hang"]).await;
    let address = simulator.addr();
    let mut stream = open_call(&simulator).await;
    until("a call under way", || simulator.counters().total.in_flight == 1).await;
    simulator.stop().await;
    assert_eq!(rest_of(&mut stream).await.0, "");
    let refused = TcpStream::connect(address).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    let again = Simulator::start(SimulatorConfig { listen: address, ..SimulatorConfig::default() }).await.unwrap();
    assert_eq!(again.addr(), address);
    assert_eq!(status(&again).await, 201);
}

#[tokio::test]
async fn dropping_ends_it_too() {
    let simulator = start(&["hang"]).await;
    let mut stream = open_call(&simulator).await;
    until("a call under way", || simulator.counters().total.in_flight == 1).await;
    drop(simulator);
    assert_eq!(rest_of(&mut stream).await.0, "");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_with_a_remedy() {
    let simulator = start(&[]).await;
    let config = SimulatorConfig { listen: simulator.addr(), ..SimulatorConfig::default() };
    let error = Simulator::start(config).await.unwrap_err().to_string();
    assert!(error.contains(&simulator.addr().to_string()) && error.contains("port 0"), "{error}");
}
