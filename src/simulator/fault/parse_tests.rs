//! Tests of the reader, and that it reads what is written.

use crate::simulator::fault::{AnswerFault, ErrorBody, Fault, FaultKind, RetryAfter, Scope, StatusFault};
use proptest::prelude::*;
use std::time::Duration;

const STREAMER: &str = "VJ0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn status(status: u16) -> StatusFault {
    StatusFault { status, code: None, retry_after: None, body: ErrorBody::Json }
}

fn read(text: &str) -> Fault {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_short_forms_mean_what_the_help_says() {
    let lasting = |kind, ms| Fault { kind, duration: Some(Duration::from_millis(ms)), calls: None, scope: Scope::All };
    assert_eq!(read("500:30s"), lasting(FaultKind::Status(status(500)), 30_000));
    assert_eq!(read("429:21s"), lasting(FaultKind::Status(status(429)), 21_000));
    assert_eq!(read(" hang:7.5s "), lasting(FaultKind::Hang, 7_500));
    assert_eq!(read("latency=4s:33s"), lasting(FaultKind::Latency(Duration::from_secs(4)), 33_000));
    let reset = Fault { kind: FaultKind::Reset, duration: None, calls: Some(3), scope: Scope::Streamer(STREAMER.to_owned()) };
    assert_eq!(read(&format!("reset:3x@{STREAMER}")), reset);
    let waiting = StatusFault { retry_after: Some(RetryAfter::Date(5)), body: ErrorBody::Html, code: Some(20005), ..status(429) };
    let both = Fault {
        kind: FaultKind::Status(waiting),
        duration: Some(Duration::from_secs(10)),
        calls: Some(2),
        scope: Scope::Account(ACCOUNT.to_owned()),
    };
    assert_eq!(read(&format!("429,retry-after-date=5,body=html,code=20005:10s:2x@{ACCOUNT}")), both);
    assert_eq!(read("garbage@SK:1@x").scope, Scope::User("SK:1@x".to_owned()));
    assert_eq!(read("ended").kind, FaultKind::Ended { status: 409 });
    assert_eq!(read("date-skew=-1h").kind, FaultKind::Answer(AnswerFault::DateSkew(-3_600_000)));
}

#[test]
fn what_is_no_fault_is_refused_with_the_part_at_fault_and_the_remedy() {
    for (text, mentioned) in [
        ("", "is neither a status"),
        ("5000:30s", "\"5000\" is no status"),
        ("201", "but 201"),
        ("99", "is no status"),
        ("boom", "\"boom\" is neither a status"),
        ("500:30", "\"30\" is neither a duration"),
        ("500:0x", "\"0x\" is neither"),
        ("500:1s:2s", "more than one duration"),
        ("500:1x:2x", "more than one number of calls"),
        ("500@", "after @ stands"),
        ("500@VJ12", "isn't a whole SID"),
        ("latency", "needs a value"),
        ("latency=4", "\"4\" is no duration"),
        ("hang=4s", "hang takes no value"),
        ("garbage=1", "garbage takes no value"),
        ("rate-limit=0", "is no rate"),
        ("rate-limit=inf", "is no rate"),
        ("429,retry-after=1.5", "whole seconds"),
        ("429,retry=1", "no option here"),
        ("429,body=xml", "json, empty or html"),
        ("hang,retry-after=1", "no option here"),
        ("oversized=99999999999", "number of bytes"),
        ("date-skew", "needs a value"),
    ] {
        let error = text.parse::<Fault>().expect_err(text);
        assert!(error.to_string().contains(mentioned), "{text}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

fn any_retry_after() -> impl Strategy<Value = Option<RetryAfter>> {
    prop_oneof![Just(None), any::<u32>().prop_map(|s| Some(RetryAfter::Seconds(s))), any::<u32>().prop_map(|s| Some(RetryAfter::Date(s)))]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (0_u64..600_000_000).prop_map(Duration::from_millis)
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    let body = prop_oneof![Just(ErrorBody::Json), Just(ErrorBody::Empty), Just(ErrorBody::Html)];
    let status = (prop_oneof![200_u16..201, 202_u16..600], any::<Option<u32>>(), any_retry_after(), body)
        .prop_map(|(status, code, retry_after, body)| FaultKind::Status(StatusFault { status, code, retry_after, body }));
    let answer = prop_oneof![
        Just(AnswerFault::Garbage),
        Just(AnswerFault::NullGrant),
        Just(AnswerFault::NullFields),
        Just(AnswerFault::WrongTypes),
        Just(AnswerFault::OtherStreamer),
        Just(AnswerFault::StringGrant),
        (-600_000_000_i64..600_000_000).prop_map(AnswerFault::DateSkew),
        any_duration().prop_map(AnswerFault::Trickle),
        (0_usize..1_000_000).prop_map(AnswerFault::Oversized),
        Just(AnswerFault::Torn),
    ];
    prop_oneof![
        status,
        Just(FaultKind::Hang),
        Just(FaultKind::Reset),
        any_duration().prop_map(FaultKind::Latency),
        (0.001..1e6_f64, any_retry_after())
            .prop_map(|(calls_per_second, retry_after)| FaultKind::RateLimit { calls_per_second, retry_after }),
        (400_u16..500).prop_map(|status| FaultKind::Ended { status }),
        answer.prop_map(FaultKind::Answer),
    ]
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let scope = prop_oneof![
        Just(Scope::All),
        Just(Scope::Account(ACCOUNT.to_owned())),
        Just(Scope::Streamer(STREAMER.to_owned())),
        "SK[0-9a-f@:,=]{1,40}".prop_map(Scope::User),
    ];
    let calls = proptest::option::of(1..u64::MAX);
    (any_kind(), proptest::option::of(any_duration()), calls, scope).prop_map(|(kind, duration, calls, scope)| Fault {
        kind,
        duration,
        calls,
        scope,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(fault in any_fault()) {
        prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[0-9a-z=,:@.x-]{0,40}|.{0,40}") {
        let _ = text.parse::<Fault>();
    }
}
