//! One look-up: `/etc/hosts`, then the name servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesOrdered;
use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver, TokioResolver};
use tokio::time::timeout;

use super::Places;
use super::problem::NameProblem;
use super::search::candidates;
use crate::clock::Clock;
use crate::time::Instant;

/// How long the name servers have for one name, the question's repetition included.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How long they have for all the names that one may stand for: less than a call has for its connection, so that its failure can be named.
const LIMIT: Duration = Duration::from_millis(1900);

/// Once addresses of one family are there that can be reached, how long is waited for the other's: some name servers never answer for IPv6.
const OTHER_FAMILY_LIMIT: Duration = Duration::from_millis(50);

/// A port to ask the kernel for a way to; nothing is sent there.
const ANY_PORT: u16 = 9;

/// What a look-up found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) at: Instant,
    pub(super) until: Instant,
}

impl Found {
    fn now(addresses: Vec<IpAddr>, kept: Duration) -> Self {
        let at = Clock::MACHINE.instant();
        Self { addresses: addresses.into(), at, until: at + kept }
    }
}

/// Looks a name up.
pub(super) async fn look_up(places: Places, host: String) -> Result<Found, NameProblem> {
    // This machine by its reserved name: nobody is asked, so nobody can say otherwise.
    let bare = host.strip_suffix('.').unwrap_or(&host);
    if bare == "localhost" || bare.ends_with(".localhost") {
        return Ok(Found::now(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], Duration::ZERO));
    }
    let listed = in_hosts_file(&places, &host).await;
    if !listed.is_empty() {
        return Ok(Found::now(listed, Duration::ZERO));
    }
    let (resolver, search) = resolver(&places).await?;
    let names = candidates(&host, &search, resolver.options().ndots);
    timeout(LIMIT, first_found(&resolver, names)).await.unwrap_or(Err(NameProblem::NoAnswer))
}

async fn in_hosts_file(places: &Places, host: &str) -> Vec<IpAddr> {
    let mut hosts = Hosts::default();
    // A file that is missing, or has a line that isn't text, lists nothing more.
    let text = tokio::fs::read(&places.hosts).await.unwrap_or_default();
    let _ = hosts.read_hosts_conf(text.as_slice());
    let Ok(name) = Name::from_str_relaxed(host) else { return Vec::new() };
    let families = [RecordType::A, RecordType::AAAA].map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)));
    families.iter().flatten().flat_map(Lookup::answers).filter_map(|record| record.data.ip_addr()).collect()
}

async fn resolver(places: &Places) -> Result<(TokioResolver, Vec<Name>), NameProblem> {
    let text = tokio::fs::read(&places.resolv_conf).await.map_err(|_| NameProblem::NoServers)?;
    let (config, mut options) = parse_resolv_conf(text).map_err(|_| NameProblem::NoServers)?;
    let (_, search, mut servers) = config.into_parts();
    for connection in servers.iter_mut().flat_map(|server| &mut server.connections) {
        connection.port = places.port;
    }
    options.timeout = options.timeout.min(ANSWER_LIMIT);
    options.attempts = 0; // within its time a question is repeated as it is
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let config = ResolverConfig::from_name_servers(servers);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build();
    Ok((resolver.map_err(|_| NameProblem::NoServers)?, search))
}

/// Asks for all names at once, and takes the first of them, in their order, that is there. One that fails doesn't hide the next, and one that is slow
/// doesn't use up its time: a search domain's own name server may be far or away.
async fn first_found(resolver: &TokioResolver, names: Vec<Name>) -> Result<Found, NameProblem> {
    let mut problem = NameProblem::Unknown;
    let mut answers: FuturesOrdered<_> = names.into_iter().map(|name| both_families(resolver, name)).collect();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(found) => return Ok(found),
            Err(other) => problem = problem.or(other),
        }
    }
    Err(problem)
}

async fn both_families(resolver: &TokioResolver, name: Name) -> Result<Found, NameProblem> {
    let v4 = pin!(one_family(resolver, name.clone(), RecordType::A));
    let v6 = pin!(one_family(resolver, name, RecordType::AAAA));
    // IPv4 comes first: where it has no route, the connection fails over at once.
    let (v4, v6) = match select(v4, v6).await {
        Either::Left((v4, other)) => {
            let v6 = the_other(&v4, other).await;
            (v4, v6)
        }
        Either::Right((v6, other)) => {
            let v4 = the_other(&v6, other).await;
            (v4, v6)
        }
    };
    match (v4, v6) {
        (Ok((mut addresses, kept)), Ok((more, other))) => {
            addresses.extend(more);
            Ok(Found::now(addresses, kept.min(other)))
        }
        // What lacks a family only because it came late isn't kept: the next call may find it whole.
        (Ok((addresses, _)), Err(NameProblem::NoAnswer)) | (Err(NameProblem::NoAnswer), Ok((addresses, _))) => {
            Ok(Found::now(addresses, Duration::ZERO))
        }
        (Ok((addresses, kept)), Err(_)) | (Err(_), Ok((addresses, kept))) => Ok(Found::now(addresses, kept)),
        (Err(one), Err(other)) => Err(one.or(other)),
    }
}

type Family = Result<(Vec<IpAddr>, Duration), NameProblem>;

/// The answer for the other family, for which there is little time once the first can be reached. An address without a way to it is as good as
/// none: in a network of IPv6 alone a name's IPv4 address often comes first.
async fn the_other(first: &Family, other: impl Future<Output = Family>) -> Family {
    if first.as_ref().is_ok_and(|(addresses, _)| addresses.iter().any(|address| has_route(*address))) {
        timeout(OTHER_FAMILY_LIMIT, other).await.unwrap_or(Err(NameProblem::NoAnswer))
    } else {
        other.await
    }
}

/// Whether the kernel knows a way to the address.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, ANY_PORT)).is_ok())
}

async fn one_family(resolver: &TokioResolver, name: Name, family: RecordType) -> Family {
    let answer = resolver.lookup(name, family).await.map_err(|error| problem_of(&error))?;
    let addresses: Vec<_> = answer.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() {
        return Err(NameProblem::Unknown);
    }
    let ttl = answer.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok((addresses, Duration::from_secs(ttl.into())))
}

fn problem_of(error: &NetError) -> NameProblem {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => NameProblem::Unknown,
            _ => NameProblem::ServerFailed,
        },
        NetError::Dns(_) => NameProblem::ServerFailed,
        _ => NameProblem::NoAnswer,
    }
}
