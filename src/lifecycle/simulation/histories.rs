//! Random histories.

use std::time::Duration;

use proptest::prelude::*;

use super::acts::{Act, name};
use super::media_api::{Kind, MediaFault, PAIRS, Whom};
use super::world::{Timing, credentials_name, start};
use crate::api::{GrantSecret, PlaybackGrantRequest, PlaybackGrantRequestSpec, RequestedAccessToken, SecretRef};
use crate::time::Instant;

/// Everything that happens happens until then; then all is mended.
pub(super) const EVENTFUL: Duration = Duration::from_mins(2);

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) number: usize,
    pub(super) ttl: u8,
    /// In hundredths of what is allowed; `None`: the default.
    pub(super) refresh_before: Option<u8>,
    pub(super) pair: usize,
    pub(super) labelled: bool,
    pub(super) retain: bool,
    /// Which token, if any.
    pub(super) token: Option<u8>,
    /// Whether the Media API's answers to it don't say which account it is.
    pub(super) nameless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ServerTrouble {
    Unavailable,
    Hangs,
    RefusesSecrets,
    RefusesStatuses,
    /// Writes are done, and their answers are lost.
    LosesAnswers,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ServerFault {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) trouble: ServerTrouble,
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) timing: Timing,
    pub(super) requests: Vec<Asked>,
    pub(super) media_faults: Vec<MediaFault>,
    pub(super) server_faults: Vec<ServerFault>,
    pub(super) acts: Vec<(Instant, Act)>,
    /// What somebody does at each write of the operator.
    pub(super) rival: Option<Act>,
}

impl Asked {
    pub(super) fn object(&self) -> PlaybackGrantRequest {
        let Self { number, ttl, refresh_before, pair, labelled, retain, token, nameless: _ } = self;
        let most = i64::from(*ttl) * 3 / 4;
        let refresh_before = refresh_before.filter(|_| most >= 1).map(|share| 1 + (most - 1) * i64::from(share) / 100);
        let labels = labelled.then(|| ("tier".to_owned(), "gold".to_owned())).into_iter().collect();
        let deletion_policy = if *retain { "Retain" } else { "Delete" }.to_owned();
        let spec = PlaybackGrantRequestSpec {
            player_streamer_sid: format!("VJ{number:032x}"),
            ttl_seconds: i64::from(*ttl),
            access_control_allow_origin: None,
            refresh_before_expiry_seconds: refresh_before,
            credentials_secret_ref: SecretRef { name: credentials_name(*pair) },
            secret: Some(GrantSecret { labels, deletion_policy, ..GrantSecret::default() }),
            access_token: token.map(token_of),
            suspend: false,
        };
        let mut object = PlaybackGrantRequest::new(&name(*number), spec);
        object.metadata.namespace = Some("web".to_owned());
        object
    }
}

/// One of [`TOKENS`] tokens: two lifetimes of each of three identities.
pub(super) fn token_of(number: u8) -> RequestedAccessToken {
    RequestedAccessToken { identity: format!("viewer-{}", number % 3), ttl_seconds: 60 + i64::from(number / 3) }
}

const TOKENS: u8 = 6;

fn timing() -> impl Strategy<Value = Timing> {
    let millis = |range: std::ops::RangeInclusive<u64>| range.prop_map(Duration::from_millis);
    (millis(1..=20), millis(1..=50), millis(5..=150)).prop_map(|(server, watch, media)| Timing { server, watch, media })
}

fn requests(shortest: u8) -> impl Strategy<Value = Vec<Asked>> {
    let token = prop::option::weighted(0.6, 0..TOKENS);
    let one = (shortest..=60, prop::option::of(0_u8..=100), 0_usize..2, any::<bool>(), any::<bool>(), token, prop::bool::weighted(0.4));
    prop::collection::vec(one, 1..=4).prop_map(|all| {
        let asked = |(number, (ttl, refresh_before, pair, labelled, retain, token, nameless))| Asked {
            number,
            ttl,
            refresh_before,
            pair,
            labelled,
            retain,
            token,
            nameless,
        };
        all.into_iter().enumerate().map(asked).collect()
    })
}

/// An instant at which something may happen: not before the first grants are there.
fn instant() -> impl Strategy<Value = Instant> {
    (0..EVENTFUL.as_millis()).prop_map(|millis| start() + Duration::from_millis(u64::try_from(millis).unwrap()))
}

fn period() -> impl Strategy<Value = (Instant, Instant)> {
    (instant(), prop_oneof![3 => 50_u64..3000, 2 => 3000_u64..90_000])
        .prop_map(|(from, millis)| (from, (from + Duration::from_millis(millis)).min(start() + EVENTFUL)))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Unavailable),
        2 => prop::option::of(0_u64..90).prop_map(Kind::Throttled),
        2 => Just(Kind::Unauthorized),
        1 => Just(Kind::Forbidden),
        2 => Just(Kind::NotFound),
        1 => Just(Kind::Rejected),
        1 => Just(Kind::Garbage),
        2 => (1_u8..10).prop_map(Kind::Flaky),
        2 => (200_u64..9900).prop_map(Kind::Slow),
        2 => Just(Kind::Hang),
    ]
}

fn media_faults(most: usize) -> impl Strategy<Value = Vec<MediaFault>> {
    let whom = prop_oneof![2 => Just(Whom::All), 2 => (0..PAIRS).prop_map(Whom::Pair), 2 => Just(Whom::Request(0))];
    let fault = (period(), whom, kind()).prop_map(|((from, until), whom, kind)| MediaFault { from, until, whom, kind });
    prop::collection::vec(fault, 0..=most)
}

fn server_faults(most: usize) -> impl Strategy<Value = Vec<ServerFault>> {
    let trouble = prop_oneof![
        Just(ServerTrouble::Unavailable),
        Just(ServerTrouble::Hangs),
        Just(ServerTrouble::RefusesSecrets),
        Just(ServerTrouble::RefusesStatuses),
        Just(ServerTrouble::LosesAnswers),
    ];
    let fault = (period(), trouble).prop_map(|((from, until), trouble)| ServerFault { from, until, trouble });
    prop::collection::vec(fault, 0..=most)
}

fn secret_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0_usize..4).prop_map(Act::DeleteSecret),
        (0_usize..4).prop_map(Act::StripLabel),
        (0_usize..4).prop_map(Act::ChangeData),
        (0_usize..4).prop_map(Act::ChangeLabel),
        (0_usize..4).prop_map(Act::StripAnnotations),
        (0_usize..4).prop_map(Act::MakeImmutable),
        (0_usize..4).prop_map(Act::Touch),
        (0_usize..4).prop_map(Act::TakeOver),
        (0_usize..4).prop_map(Act::RefreshElsewhere),
        spoil_token(4),
        (0_usize..4).prop_map(Act::StripTokenHash),
    ]
}

fn spoil_token(requests: usize) -> impl Strategy<Value = Act> {
    (0..requests, 0_u8..4).prop_map(|(n, how)| Act::SpoilToken(n, how))
}

fn set_token(requests: usize) -> impl Strategy<Value = Act> {
    (0..requests, prop::option::weighted(0.7, 0..TOKENS)).prop_map(|(n, token)| Act::SetToken(n, token))
}

/// What concerns tokens, and what may happen at the same time, to one of two requests.
fn token_act() -> impl Strategy<Value = Act> {
    let n = || 0_usize..2;
    // The same key with another account beside it now and then.
    let pair = prop_oneof![Just(0), Just(4), 0..PAIRS];
    prop_oneof![
        4 => set_token(2),
        5 => (n(), pair).prop_map(|(n, pair)| Act::RotateCredentials(n, pair)),
        2 => spoil_token(2),
        1 => n().prop_map(Act::StripTokenHash),
        2 => n().prop_map(Act::DeleteSecret),
        2 => n().prop_map(Act::ChangeData),
        1 => n().prop_map(Act::Touch),
        2 => n().prop_map(Act::RefreshElsewhere),
        2 => (n(), 0_u8..5).prop_map(|(n, value)| Act::RequestRefresh(n, value)),
    ]
}

fn request_act() -> impl Strategy<Value = Act> {
    let n = || 0_usize..4;
    prop_oneof![
        (n(), 5_u8..=60).prop_map(|(n, ttl)| Act::SetLifetime(n, ttl)),
        (n(), 0_u8..3).prop_map(|(n, origin)| Act::SetOrigin(n, origin)),
        (n(), 0_u8..3).prop_map(|(n, label)| Act::SetLabels(n, label)),
        (n(), 0_u8..3).prop_map(|(n, name)| Act::Rename(n, name)),
        (n(), 0_usize..2).prop_map(|(n, pair)| Act::UseCredentials(n, pair)),
        (n(), any::<bool>()).prop_map(|(n, suspend)| Act::Suspend(n, suspend)),
        (n(), 0_u8..5).prop_map(|(n, value)| Act::RequestRefresh(n, value)),
        n().prop_map(Act::BreakSpec),
        n().prop_map(Act::MendSpec),
        n().prop_map(Act::DeleteRequest),
        n().prop_map(Act::Recreate),
        set_token(4),
        (0_usize..2, 0..PAIRS).prop_map(|(n, pair)| Act::RotateCredentials(n, pair)),
        (0_usize..2).prop_map(Act::DeleteCredentials),
        (0_usize..2).prop_map(Act::BreakCredentials),
    ]
}

fn machine_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => prop_oneof![0_u64..2000, 2000_u64..70_000].prop_map(Act::Restart),
        1 => (-3600_i64..=3600).prop_map(Act::JumpClock),
    ]
}

/// Each at an instant of its own, or soon after the one before it: what nearly coincides is what goes wrong.
fn acts(act: impl Strategy<Value = Act>, most: usize) -> impl Strategy<Value = Vec<(Instant, Act)>> {
    let after = prop::option::weighted(0.4, 0_u64..100);
    prop::collection::vec((instant(), after, act), 0..=most).prop_map(|all| {
        let mut before = None;
        let mut timed = |(at, after, act): (Instant, Option<u64>, Act)| {
            let soon = before.zip(after).map(|(before, after)| before + Duration::from_millis(after));
            let at = soon.map_or(at, |soon: Instant| soon.min(start() + EVENTFUL));
            before = Some(at);
            (at, act)
        };
        all.into_iter().map(&mut timed).collect()
    })
}

fn history(
    requests: impl Strategy<Value = Vec<Asked>>,
    media_faults: impl Strategy<Value = Vec<MediaFault>>,
    server_faults: impl Strategy<Value = Vec<ServerFault>>,
    acts: impl Strategy<Value = Vec<(Instant, Act)>>,
) -> impl Strategy<Value = History> {
    (any::<u64>(), timing(), requests, media_faults, server_faults, acts).prop_map(
        |(seed, timing, requests, media_faults, server_faults, acts)| History {
            seed,
            timing,
            requests,
            media_faults,
            server_faults,
            acts,
            rival: None,
        },
    )
}

/// Nothing happens.
pub(super) fn quiet() -> impl Strategy<Value = History> {
    history(requests(5), Just(vec![]), Just(vec![]), Just(vec![]))
}

/// Nothing happens, but that another operator takes over.
pub(super) fn handed_over() -> impl Strategy<Value = History> {
    let acts = (20_000_u64..100_000, 0_u64..500).prop_map(|(at, millis)| vec![(start() + Duration::from_millis(at), Act::Restart(millis))]);
    history(requests(5), Just(vec![]), Just(vec![]), acts)
}

/// The Media API fails.
pub(super) fn media_failing() -> impl Strategy<Value = History> {
    history(requests(5), media_faults(4), Just(vec![]), Just(vec![]))
}

/// The first request's calls never succeed, and the Media API has an outage besides, perhaps from the operator's start on.
pub(super) fn poisoned() -> impl Strategy<Value = History> {
    let requests = requests(5).prop_map(|all| all.into_iter().map(|asked| Asked { pair: 0, ..asked }).collect());
    let poison = prop_oneof![Just(Kind::NotFound), Just(Kind::Rejected), Just(Kind::Garbage), Just(Kind::Unavailable)];
    let outage = prop_oneof![Just(Kind::Unavailable), Just(Kind::Forbidden), prop::option::of(0_u64..5).prop_map(Kind::Throttled)];
    let faults = (poison, outage, prop_oneof![Just(start()), instant()], 1000_u64..60_000).prop_map(|(poison, outage, from, millis)| {
        let until = (from + Duration::from_millis(millis)).min(start() + EVENTFUL);
        vec![
            MediaFault { from: start(), until: start() + EVENTFUL, whom: Whom::Request(0), kind: poison },
            MediaFault { from, until, whom: Whom::All, kind: outage },
        ]
    });
    history(requests, faults, Just(vec![]), Just(vec![]))
}

/// The API server fails, also while tokens change.
pub(super) fn server_failing() -> impl Strategy<Value = History> {
    history(requests(5), Just(vec![]), server_faults(3), acts(token_act(), 8))
}

/// Others are at the Secrets.
pub(super) fn meddled_with() -> impl Strategy<Value = History> {
    history(requests(5), Just(vec![]), Just(vec![]), acts(secret_act(), 8))
}

/// Another controller undoes each write of the operator.
pub(super) fn rivalled() -> impl Strategy<Value = History> {
    let rival = prop_oneof![
        Just(Act::StripLabel(0)),
        Just(Act::ChangeData(0)),
        Just(Act::ChangeLabel(0)),
        Just(Act::StripAnnotations(0)),
        Just(Act::SpoilToken(0, 0)),
        Just(Act::StripTokenHash(0)),
        Just(Act::DeleteSecret(0)),
    ];
    let one = requests(5).prop_map(|all| {
        let rivalled = |asked| Asked { labelled: true, token: Some(0), pair: 0, ..asked };
        all.into_iter().take(1).map(rivalled).collect()
    });
    (history(one, Just(vec![]), Just(vec![]), Just(vec![])), rival).prop_map(|(history, rival)| History { rival: Some(rival), ..history })
}

/// Tokens are asked for, and no more, and others; keys are replaced; others are at the tokens.
pub(super) fn tokens_change() -> impl Strategy<Value = History> {
    let few = requests(5).prop_map(|all| all.into_iter().take(2).collect());
    history(few, Just(vec![]), Just(vec![]), acts(token_act(), 16))
}

/// People change their minds.
pub(super) fn used() -> impl Strategy<Value = History> {
    history(requests(5), Just(vec![]), Just(vec![]), acts(request_act(), 10))
}

/// Operators come and go, and the wall clock jumps.
pub(super) fn restarted() -> impl Strategy<Value = History> {
    history(requests(5), media_faults(2), Just(vec![]), acts(machine_act(), 4))
}

/// Everything at once, with lifetimes down to a second.
pub(super) fn everything() -> impl Strategy<Value = History> {
    let act = prop_oneof![3 => secret_act(), 3 => request_act(), 1 => machine_act()];
    history(requests(1), media_faults(3), server_faults(2), acts(act, 10))
}
