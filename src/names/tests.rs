//! Names, asked of a name server on this machine.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::{LONGEST_KEPT, LONGEST_STALE, NameProblem, Names, Places};
use crate::clock::Clock;

/// Addresses to which the kernel knows a way on every machine.
const V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);
const V6: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// An address to which it never knows one for an ordinary socket.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// What the name server does with a name and a family.
#[derive(Clone, Copy)]
enum Does {
    Tells(IpAddr),
    TellsLate(IpAddr),
    /// Has no room for it in a datagram, and tells it by a connection.
    TellsAtLength(IpAddr),
    Fails,
    KeepsSilent,
}

#[derive(Default)]
struct Zone {
    /// A name that isn't here does not exist; one that is here has only the families that are.
    names: HashMap<(String, RecordType), Does>,
    ttl: u32,
    asked: Vec<(String, RecordType)>,
}

/// A name server, and the files that name it.
struct Stage {
    zone: Arc<Mutex<Zone>>,
    server: JoinHandle<((), ())>,
    folder: TempDir,
    names: Names,
}

impl Stage {
    async fn new(zone: impl IntoIterator<Item = (&'static str, RecordType, Does)>) -> Self {
        let names = zone.into_iter().map(|(name, family, does)| ((name.to_owned(), family), does)).collect();
        let zone = Arc::new(Mutex::new(Zone { names, ttl: 30, asked: Vec::new() }));
        let (socket, listener) = one_port().await;
        let port = socket.local_addr().unwrap().port();
        let (datagrams, connections) = (serve(socket, Arc::clone(&zone)), serve_at_length(listener, Arc::clone(&zone)));
        let server = tokio::spawn(async { futures::join!(datagrams, connections) });
        let folder = TempDir::new().unwrap();
        let (resolv_conf, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        std::fs::write(&resolv_conf, "search web.svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n").unwrap();
        let names = Names::at(Places { resolv_conf, hosts, port, longest_kept: LONGEST_KEPT, longest_stale: LONGEST_STALE });
        Self { zone, server, folder, names }
    }

    fn set(&self, name: &str, family: RecordType, does: Does) {
        self.zone.lock().unwrap().names.insert((name.to_owned(), family), does);
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    async fn find(&self, name: &str) -> Result<Vec<IpAddr>, NameProblem> {
        self.names.addresses(name).await.map(|addresses| addresses.to_vec())
    }

    fn asked(&self) -> Vec<(String, RecordType)> {
        self.zone.lock().unwrap().asked.clone()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A port for datagrams and for connections: one that is free for the one may be taken for the other.
async fn one_port() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
    panic!("no port is free for both");
}

/// How long the server takes for what it tells late.
const LATE: Duration = Duration::from_millis(400);

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let socket = Arc::new(socket);
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let (answer, late) = answer(&question, &mut zone.lock().unwrap(), false);
        if let Some(answer) = answer {
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                tokio::time::sleep(if late { LATE } else { Duration::ZERO }).await;
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            });
        }
    }
}

async fn serve_at_length(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await.unwrap();
        let (answer, _) = answer(&Message::from_vec(&question).unwrap(), &mut zone.lock().unwrap(), true);
        let answer = answer.unwrap().to_vec().unwrap();
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

fn answer(question: &Message, zone: &mut Zone, at_length: bool) -> (Option<Message>, bool) {
    let query = question.queries[0].clone();
    let (name, family) = (query.name().to_ascii().to_ascii_lowercase(), query.query_type());
    zone.asked.push((name.clone(), family));
    let mut answer = Message::error_msg(question.metadata.id, question.metadata.op_code, ResponseCode::NoError);
    answer.add_query(query.clone());
    let data = match zone.names.get(&(name.clone(), family)) {
        Some(Does::KeepsSilent) => return (None, false),
        Some(Does::Fails) => {
            answer.metadata.response_code = ResponseCode::ServFail;
            return (Some(answer), false);
        }
        Some(Does::TellsAtLength(_)) if !at_length => {
            answer.metadata.truncation = true;
            return (Some(answer), false);
        }
        Some(Does::Tells(address) | Does::TellsLate(address) | Does::TellsAtLength(address)) => match address {
            IpAddr::V4(address) => RData::A((*address).into()),
            IpAddr::V6(address) => RData::AAAA((*address).into()),
        },
        None => {
            if !zone.names.keys().any(|(known, _)| *known == name) {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            return (Some(answer), false);
        }
    };
    answer.add_answer(Record::from_rdata(query.name().clone(), zone.ttl, data));
    let late = matches!(zone.names.get(&(name, family)), Some(Does::TellsLate(_)));
    (Some(answer), late)
}

const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;
const TELLS_V4: Does = Does::Tells(IpAddr::V4(V4));
const TELLS_V6: Does = Does::Tells(IpAddr::V6(V6));

#[tokio::test]
async fn both_families_are_found_and_ipv4_comes_first() {
    let stage = Stage::new([("media.example.com.", A, TELLS_V4), ("media.example.com.", AAAA, TELLS_V6)]).await;
    assert_eq!(stage.find("media.example.com").await, Ok(vec![V4.into(), V6.into()]));
}

#[tokio::test]
async fn a_service_is_found_by_the_search_list() {
    let stage = Stage::new([("media.web.svc.cluster.local.", A, TELLS_V4), ("media.", A, Does::Fails)]).await;
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn of_several_that_are_there_the_first_of_the_search_list_counts_however_late_it_comes() {
    let (first, second) = ("media.web.svc.cluster.local.", "media.cluster.local.");
    let stage = Stage::new([(first, A, Does::TellsLate(V4.into())), (second, A, Does::Tells(Ipv4Addr::new(127, 0, 0, 8).into()))]).await;
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn search_domains_that_keep_silent_leave_time_for_the_name_itself() {
    let silent = ["media.web.svc.cluster.local.", "media.cluster.local."]
        .map(|name| [(name, A, Does::KeepsSilent), (name, AAAA, Does::KeepsSilent)]);
    let stage = Stage::new(silent.into_iter().flatten().chain([("media.", A, TELLS_V4)])).await;
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn a_search_domain_that_fails_does_not_hide_the_name_itself() {
    let failing = [("media.web.svc.cluster.local.", A, Does::Fails), ("media.web.svc.cluster.local.", AAAA, Does::Fails)];
    let stage = Stage::new(failing.into_iter().chain([("media.", A, TELLS_V4)])).await;
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn one_family_is_enough_whatever_becomes_of_the_other() {
    for other in [Does::Fails, Does::KeepsSilent] {
        let stage = Stage::new([("media.", A, other), ("media.", AAAA, TELLS_V6), ("tv.", A, TELLS_V4), ("tv.", AAAA, other)]).await;
        let start = Clock::MACHINE.instant();
        assert_eq!(stage.find("media.").await, Ok(vec![V6.into()]));
        assert_eq!(stage.find("tv.").await, Ok(vec![V4.into()]));
        assert!(Clock::MACHINE.instant().since(start) < Duration::from_secs(1), "{:?}", Clock::MACHINE.instant().since(start));
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_leaves_the_other_family_its_time() {
    let stage = Stage::new([("media.", A, Does::Tells(NOWHERE)), ("media.", AAAA, Does::TellsLate(V6.into()))]).await;
    assert_eq!(stage.find("media.").await, Ok(vec![NOWHERE, V6.into()]));
}

#[tokio::test]
async fn what_lacks_a_family_that_came_late_is_not_kept() {
    let stage = Stage::new([("media.", A, TELLS_V4), ("media.", AAAA, Does::TellsLate(V6.into()))]).await;
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]));
    stage.set("media.", AAAA, TELLS_V6);
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into(), V6.into()]));
}

#[tokio::test]
async fn what_came_when_nobody_waited_any_more_is_known_too() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    stage.zone.lock().unwrap().ttl = 0;
    stage.find("media.").await.unwrap();
    let moved: IpAddr = Ipv4Addr::new(127, 0, 0, 8).into();
    stage.set("media.", A, Does::TellsLate(moved));
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]), "the old address, since the new one is late");
    tokio::time::sleep(2 * LATE).await;
    for family in [A, AAAA] {
        stage.set("media.", family, Does::KeepsSilent);
    }
    assert_eq!(stage.find("media.").await, Ok(vec![moved]));
}

#[tokio::test]
async fn a_name_that_appears_is_found_at_once() {
    let stage = Stage::new([]).await;
    assert_eq!(stage.find("media").await, Err(NameProblem::Unknown));
    stage.set("media.web.svc.cluster.local.", A, TELLS_V4);
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn an_address_is_kept_as_long_as_its_record_says() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    stage.find("media.").await.unwrap();
    stage.set("media.", A, Does::Tells(V4.to_bits().wrapping_add(1).to_be_bytes().into()));
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]), "kept");

    stage.zone.lock().unwrap().ttl = 0;
    assert_eq!(stage.find("MEDIA.").await, Ok(vec![V4.into()]), "the same name");
    let other = Names::at(stage.names.0.places.clone());
    other.addresses("media.").await.unwrap();
    stage.set("media.", A, TELLS_V4);
    assert_eq!(*other.addresses("media.").await.unwrap(), [IpAddr::from(V4)], "not kept");
}

#[tokio::test]
async fn it_is_kept_no_longer_than_we_keep_any() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    let names = Names::at(Places { longest_kept: Duration::from_millis(100), ..stage.names.0.places.clone() });
    names.addresses("media.").await.unwrap();
    let moved: IpAddr = Ipv4Addr::new(127, 0, 0, 8).into();
    stage.set("media.", A, Does::Tells(moved));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(*names.addresses("media.").await.unwrap(), [moved]);
}

#[tokio::test]
async fn an_old_address_does_not_serve_for_ever() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    stage.zone.lock().unwrap().ttl = 0;
    let names = Names::at(Places { longest_stale: Duration::from_millis(100), ..stage.names.0.places.clone() });
    names.addresses("media.").await.unwrap();
    for family in [A, AAAA] {
        stage.set("media.", family, Does::Fails);
    }
    assert_eq!(*names.addresses("media.").await.unwrap(), [IpAddr::from(V4)]);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(names.addresses("media.").await, Err(NameProblem::ServerFailed));
}

#[tokio::test]
async fn a_name_server_that_keeps_silent_does_not_hide_the_next() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    // Should another have this port there, the stage is as good.
    let _silent = UdpSocket::bind(("127.0.0.2", stage.names.0.places.port)).await;
    stage.write("resolv.conf", "nameserver 127.0.0.2\nnameserver 127.0.0.1\n");
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_comes_by_a_connection() {
    let stage = Stage::new([("media.", A, Does::TellsAtLength(V4.into()))]).await;
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    let all = futures::future::join_all((0..100).map(|_| stage.find("media."))).await;
    assert!(all.iter().all(|found| *found == Ok(vec![V4.into()])));
    let asked = stage.asked();
    assert_eq!((asked.len(), asked.into_iter().collect::<HashSet<_>>().len()), (2, 2));
}

#[tokio::test]
async fn a_look_up_whose_asker_has_gone_ends_by_itself() {
    let stage = Stage::new([("media.", A, Does::KeepsSilent), ("media.", AAAA, Does::KeepsSilent)]).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), stage.find("media.")).await.is_err());
    stage.set("media.", A, TELLS_V4);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]), "what was left behind is in nobody's way");
}

#[tokio::test]
async fn silence_ends_in_time_and_is_told() {
    let silent = ["media.web.svc.cluster.local.", "media.cluster.local.", "media."];
    let stage = Stage::new(silent.into_iter().flat_map(|name| [(name, A, Does::KeepsSilent), (name, AAAA, Does::KeepsSilent)])).await;
    let start = Clock::MACHINE.instant();
    assert_eq!(stage.find("media").await, Err(NameProblem::NoAnswer));
    assert!(Clock::MACHINE.instant().since(start) < Duration::from_millis(2500), "{:?}", Clock::MACHINE.instant().since(start));
}

#[tokio::test]
async fn an_address_serves_on_where_no_name_server_answers() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    stage.zone.lock().unwrap().ttl = 0;
    stage.find("media.").await.unwrap();
    for does in [Does::Fails, Does::KeepsSilent] {
        stage.set("media.", A, does);
        stage.set("media.", AAAA, does);
        let start = Clock::MACHINE.instant();
        assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]));
        assert!(Clock::MACHINE.instant().since(start) < Duration::from_secs(1), "there is time left for the connection");
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    stage.zone.lock().unwrap().names.clear();
    assert_eq!(stage.find("media.").await, Err(NameProblem::Unknown), "gone is gone");
}

#[tokio::test]
async fn the_hosts_file_comes_before_every_server_and_is_read_anew() {
    let stage = Stage::new([("media.web.svc.cluster.local.", A, TELLS_V4)]).await;
    stage.write("hosts", "# a comment\nnot-an-address media\n192.0.2.99 tv Media\n2001:db8::7 media\n");
    assert_eq!(
        stage.find("media").await,
        Ok(vec![Ipv4Addr::new(192, 0, 2, 99).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into()])
    );
    assert!(stage.asked().is_empty());
    stage.write("hosts", "");
    assert_eq!(stage.find("media").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn this_machine_is_itself_without_any_file() {
    let stage = Stage::new([]).await;
    std::fs::remove_file(stage.folder.path().join("resolv.conf")).unwrap();
    stage.write("hosts", "192.0.2.99 localhost\n");
    for name in ["localhost", "LOCALHOST", "localhost.", "media.localhost"] {
        assert_eq!(stage.find(name).await, Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]), "{name}");
    }
}

#[tokio::test]
async fn without_a_name_server_the_file_is_named_until_there_is_one() {
    let stage = Stage::new([("media.", A, TELLS_V4)]).await;
    std::fs::remove_file(stage.folder.path().join("resolv.conf")).unwrap();
    assert_eq!(stage.find("media.").await, Err(NameProblem::NoServers));
    for text in ["", "nameserver\n", "search web.svc\nnonsense\nnameserver here\n", "\u{0}\u{fffd}"] {
        stage.write("resolv.conf", text);
        assert_eq!(stage.find("media.").await, Err(NameProblem::NoServers), "{text}");
    }
    stage.write("resolv.conf", "nameserver 127.0.0.1\n");
    assert_eq!(stage.find("media.").await, Ok(vec![V4.into()]));
}

#[tokio::test]
async fn nobody_at_the_servers_port_is_no_answer() {
    let stage = Stage::new([]).await;
    stage.server.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stage.find("media.").await, Err(NameProblem::NoAnswer));
}
