//! What may happen, drawn at random.
//!
//! Left out: a namespace that terminates, for which there is a test on a real API server.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::media_api::{Fault, Whom};

/// Everything that happens begins until then; then all is mended.
pub const EVENTFUL: Duration = Duration::from_mins(2);

/// So many accounts, each with credentials in a Secret of its own.
pub const ACCOUNTS: usize = 2;

/// Everything that happens, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// What all draws follow from.
    pub chance: u64,
    pub requests: Vec<Wish>,
    /// How long the API server and the Media API take, and how far watches lag behind, in milliseconds.
    pub latency: (u16, u16, u16),
    /// What happens, with the millisecond at which it begins.
    pub events: Vec<(u32, Happening)>,
}

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wish {
    pub ttl: u8,
    /// How long before its expiry it is to be refreshed, in percent of its life, where that is asked for.
    pub early: Option<u8>,
    pub account: usize,
    pub retain: bool,
    /// Whether an Access Token is to be beside the grant.
    pub token: bool,
}

/// What happens. The number is a request's or an account's; what lasts, lasts so many milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Happening {
    Media(Whom, Fault, u32),
    Server(ServerFault, u32),
    CutWatches,
    /// The API server forgets what has been, and its watches are cut.
    Compact,
    /// The operator is killed, and started anew after that time.
    Kill(u32),
    /// There is another operator for that time.
    SecondOperator(u32),
    SetTtl(usize, u8),
    SetOrigin(usize, u8),
    SetLabel(usize, u8),
    /// The Secret has the request's name, or another.
    Rename(usize, bool),
    /// The request names the other's Secret for that time.
    Rival(usize, usize, u32),
    /// The Secret is to stay when the request goes, or not.
    SetPolicy(usize, bool),
    RefreshNow(usize),
    Suspend(usize, u32),
    /// The request is deleted, and made again after that time.
    Recreate(usize, u32),
    /// The request is deleted, held by a finalizer for that time, and then made again.
    Linger(usize, u32),
    Tamper(usize, Tamper),
    /// The same while no watch is there to tell of it. `true`: the API server forgets that it has been, too.
    Unseen(usize, Tamper, bool),
    /// The Secret is made immutable, and held by a finalizer for that time.
    Hold(usize, u32),
    /// The Secret is another's for that time.
    TakeOver(usize, u32),
    RotateKey(usize),
    /// The credentials are gone for that time.
    DropCredentials(usize, u32),
    /// The wall clock is set forward by so many hours, or back. (What is less than a grant's life isn't told from the truth after a restart.)
    SetWall(i8),
    /// The machine sleeps so many seconds.
    Sleep(u8),
}

/// What the API server suffers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum ServerFault {
    Held,
    Unavailable,
    RefusesSecrets,
    RefusesDeletions,
    LosesAnswers,
    Slow,
}

/// What others do to a Secret in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tamper {
    Delete,
    StripLabel,
    SpoilGrant,
    StripAnnotations,
    Touch,
    MakeImmutable,
}

/// Any history.
pub fn any_history() -> impl Strategy<Value = History> {
    let wish = (5..=60_u8, prop::option::weighted(0.3, 5..=75_u8), 0..ACCOUNTS, any::<bool>(), any::<bool>());
    let wish = wish.prop_map(|(ttl, early, account, retain, token)| Wish { ttl, early, account, retain, token });
    let latency = (
        prop_oneof![3 => Just(1_u16), 1 => 1..100_u16],
        prop_oneof![3 => Just(20_u16), 1 => 1..300_u16],
        prop_oneof![2 => Just(0_u16), 1 => 1..10_u16, 1 => 10..400_u16],
    );
    (any::<u64>(), prop::collection::vec(wish, 1..=6), latency).prop_flat_map(|(chance, requests, latency)| {
        let at = 0..u32::try_from(EVENTFUL.as_millis()).unwrap_or(u32::MAX);
        let events = prop::collection::vec((at, happenings(requests.len())), 0..=12);
        events.prop_map(move |events| {
            let mut events: Vec<_> = events.into_iter().flat_map(|(at, group)| group.into_iter().map(move |one| (at, one))).collect();
            events.sort_by_key(|(at, _)| *at);
            History { chance, requests: requests.clone(), latency, events }
        })
    })
}

/// What begins at the same time.
fn happenings(requests: usize) -> impl Strategy<Value = Vec<Happening>> {
    // What all can fail by at once, and one by itself.
    let passing = prop_oneof![Just(Fault::Unavailable), Just(Fault::Reset), Just(Fault::Hangs), Just(Fault::TimesOut)];
    let straggler = (0..requests, passing, while_(), while_());
    let two = (0..requests, 0..requests, while_(), while_());
    prop_oneof![
        40 => happening(requests).prop_map(|one| vec![one]),
        // Two hang, each by itself.
        1 => two.prop_map(|(n, other, first, second)| {
            vec![Happening::Media(Whom::Streamer(n), Fault::Hangs, first), Happening::Media(Whom::Streamer(other), Fault::Hangs, second)]
        }),
        // What the Secret was named before can't be deleted then.
        1 => (0..requests, while_()).prop_map(|(n, millis)| {
            vec![Happening::Server(ServerFault::RefusesDeletions, millis), Happening::Rename(n, true)]
        }),
        // All fail, and one goes on failing when the others would not.
        2 => straggler.prop_map(|(n, fault, all, more)| {
            vec![Happening::Media(Whom::Everyone, fault, all), Happening::Media(Whom::Streamer(n), fault, all + more)]
        }),
    ]
}

/// Long ones are rarer, as what is forced by them hides what isn't.
fn while_() -> impl Strategy<Value = u32> {
    prop_oneof![2 => 100..5_000_u32, 1 => 5_000..40_000_u32]
}

fn happening(requests: usize) -> impl Strategy<Value = Happening> {
    let n = 0..requests;
    let whom = prop_oneof![
        3 => Just(Whom::Everyone), 1 => (0..ACCOUNTS).prop_map(Whom::Account), 1 => n.clone().prop_map(Whom::Streamer)
    ];
    prop_oneof![
        6 => (whom, fault(), while_()).prop_map(|(whom, fault, millis)| Happening::Media(whom, fault, millis)),
        4 => (server_fault(), while_()).prop_map(|(fault, millis)| Happening::Server(fault, millis)),
        1 => Just(Happening::CutWatches),
        1 => Just(Happening::Compact),
        2 => while_().prop_map(Happening::Kill),
        2 => while_().prop_map(Happening::SecondOperator),
        1 => (n.clone(), 5..=60_u8).prop_map(|(n, ttl)| Happening::SetTtl(n, ttl)),
        1 => (n.clone(), 0..3_u8).prop_map(|(n, origin)| Happening::SetOrigin(n, origin)),
        1 => (n.clone(), 0..3_u8).prop_map(|(n, label)| Happening::SetLabel(n, label)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, other)| Happening::Rename(n, other)),
        1 => (n.clone(), n.clone(), while_()).prop_map(|(n, other, millis)| Happening::Rival(n, other, millis)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, retain)| Happening::SetPolicy(n, retain)),
        1 => (n.clone(), while_()).prop_map(|(n, millis)| Happening::Linger(n, millis)),
        1 => n.clone().prop_map(Happening::RefreshNow),
        1 => (n.clone(), while_()).prop_map(|(n, millis)| Happening::Suspend(n, millis)),
        2 => (n.clone(), 1..10_000_u32).prop_map(|(n, millis)| Happening::Recreate(n, millis)),
        4 => (n.clone(), tamper()).prop_map(|(n, tamper)| Happening::Tamper(n, tamper)),
        2 => (n.clone(), tamper(), any::<bool>()).prop_map(|(n, tamper, forgets)| Happening::Unseen(n, tamper, forgets)),
        1 => (n.clone(), while_()).prop_map(|(n, millis)| Happening::Hold(n, millis)),
        1 => (n, while_()).prop_map(|(n, millis)| Happening::TakeOver(n, millis)),
        1 => (0..ACCOUNTS).prop_map(Happening::RotateKey),
        1 => (0..ACCOUNTS, while_()).prop_map(|(account, millis)| Happening::DropCredentials(account, millis)),
        1 => prop_oneof![Just(-1_i8), Just(1_i8)].prop_map(Happening::SetWall),
        1 => (1..90_u8).prop_map(Happening::Sleep),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::Refused),
        2 => Just(Fault::Unavailable),
        1 => Just(Fault::Reset),
        1 => Just(Fault::Hangs),
        1 => Just(Fault::TimesOut),
        1 => Just(Fault::Slow),
        1 => prop::option::of(1..20_u8).prop_map(Fault::Throttled),
        1 => Just(Fault::Garbage),
        1 => Just(Fault::NotFound),
        1 => Just(Fault::Unauthorized),
        1 => Just(Fault::Forbidden),
    ]
}

fn server_fault() -> impl Strategy<Value = ServerFault> {
    prop_oneof![
        Just(ServerFault::Held),
        Just(ServerFault::Unavailable),
        Just(ServerFault::RefusesSecrets),
        Just(ServerFault::LosesAnswers),
        Just(ServerFault::Slow),
    ]
}

fn tamper() -> impl Strategy<Value = Tamper> {
    prop_oneof![
        Just(Tamper::Delete),
        Just(Tamper::StripLabel),
        Just(Tamper::SpoilGrant),
        Just(Tamper::StripAnnotations),
        Just(Tamper::Touch),
        Just(Tamper::MakeImmutable),
    ]
}
