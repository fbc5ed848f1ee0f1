use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::pending;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::media::lane::{Hold, Kind};
use crate::media::{CallFailure, PlayerStreamerSid, Ttl};
use crate::time::Instant;

/// What the Media API does, by the user of the credentials.
#[derive(Clone, Copy, Debug)]
enum Does {
    Grant,
    Hang,
    Panic,
    Refuse,
    /// Twice, and then it grants.
    RefuseTwice,
    /// Each after a second and a half; the first is refused.
    TakeTime,
    TimeOut,
}

struct Stub(BTreeMap<&'static str, Does>, AtomicUsize);

impl IssueGrants for Stub {
    fn issue(&self, _: GrantCall, credentials: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        let before = self.1.fetch_add(1, Ordering::Relaxed);
        let does = match self.0[credentials.user()] {
            Does::RefuseTwice if before < 2 => Does::Refuse,
            Does::RefuseTwice => Does::Grant,
            other => other,
        };
        Box::pin(async move {
            match does {
                Does::TakeTime => {
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    let refused = CallError { origin: "the Media API".into(), failure: CallFailure::ConnectionRefused };
                    if before == 0 { Err(refused) } else { Ok(Grant::from_stored("{}", None).unwrap()) }
                }
                Does::Grant => Ok(Grant::from_stored("{}", None).unwrap()),
                Does::Hang => pending().await,
                Does::Panic => panic!("a bug"),
                Does::Refuse | Does::RefuseTwice => {
                    Err(CallError { origin: "the Media API".into(), failure: CallFailure::ConnectionRefused })
                }
                Does::TimeOut => {
                    let failure = CallFailure::ConnectTimedOut { limit: Duration::from_secs(2) };
                    Err(CallError { origin: "the Media API".into(), failure })
                }
            }
        })
    }
}

fn start(does: &[(&'static str, Does)], max_in_flight: usize) -> (Arc<Dispatcher>, UnboundedReceiver<Event>) {
    start_at(Clock::MACHINE, does, max_in_flight)
}

fn start_at(clock: Clock, does: &[(&'static str, Does)], max_in_flight: usize) -> (Arc<Dispatcher>, UnboundedReceiver<Event>) {
    let (told, events) = unbounded_channel();
    let issuer = Arc::new(Stub(does.iter().copied().collect(), AtomicUsize::new(0)));
    let dispatcher = Dispatcher::new(issuer, clock, max_in_flight, move |event| told.send(event).unwrap());
    tokio::spawn(dispatcher.clone().run());
    (dispatcher, events)
}

fn order(caller: &str, user: &str, deadline: u64) -> Order {
    let deadline = Instant::after_start(Duration::from_secs(deadline));
    Order {
        caller: Caller::from(caller),
        tag: format!("for {caller}").into(),
        call: GrantCall {
            player_streamer_sid: PlayerStreamerSid::parse(&format!("VJ{}", "0".repeat(32))).unwrap(),
            ttl: Ttl::from_seconds(15).unwrap(),
            access_control_allow_origin: None,
        },
        credentials: Arc::new(Credentials::new(user, "password".into(), None).unwrap()),
        waiting: Waiting { kind: Kind::Refresh, deadline, hold: Hold::Nothing, urgent: false },
    }
}

/// The next event. What comes at all comes in milliseconds.
async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("nothing comes").unwrap()
}

async fn answered(events: &mut UnboundedReceiver<Event>) -> (String, Result<Grant, CallError>) {
    loop {
        if let Event::Answered { order, result, .. } = next(events).await {
            return (order.caller.to_string(), result);
        }
    }
}

#[tokio::test]
async fn an_answer_comes_back_with_what_it_is_for() {
    let (dispatcher, mut events) = start(&[("a", Does::Grant)], 8);
    dispatcher.order(order("one", "a", 1));
    let Event::Answered { order, lane, result, .. } = next(&mut events).await else { panic!("no answer") };
    assert_eq!((&*order.caller, &*order.tag, lane), ("one", "for one", order.credentials.fingerprint()));
    assert_eq!(result.unwrap().grant.expose_secret(), "{}");
    assert_eq!(dispatcher.state().lanes.out(), 0);
}

#[tokio::test]
async fn the_earliest_deadline_has_the_only_place() {
    let (dispatcher, mut events) = start(&[("a", Does::Grant)], 1);
    for (caller, deadline) in [("late", 3), ("early", 1), ("middle", 2)] {
        dispatcher.order(order(caller, "a", deadline));
    }
    for expected in ["early", "middle", "late"] {
        assert_eq!(answered(&mut events).await.0, expected);
    }
}

#[tokio::test]
async fn calls_that_hang_leave_room_for_another_accounts() {
    let (dispatcher, mut events) = start(&[("hangs", Does::Hang), ("works", Does::Grant)], 18);
    for n in 0..100 {
        dispatcher.order(order(&format!("hanging-{n}"), "hangs", n));
    }
    tokio::task::yield_now().await;
    assert_eq!(dispatcher.state().lanes.out(), 10, "as many as a lane starts with");
    let figures = dispatcher.figures();
    assert_eq!((figures.in_flight, figures.waiting, figures.open), (10, 90, 1));
    for n in 0..10 {
        dispatcher.order(order(&format!("working-{n}"), "works", 1000));
    }
    for _ in 0..10 {
        let (caller, result) = answered(&mut events).await;
        assert!(caller.starts_with("working-") && result.is_ok(), "{caller}");
    }
}

#[tokio::test]
async fn a_panic_is_a_failure_and_frees_its_place() {
    let (dispatcher, mut events) = start(&[("breaks", Does::Panic), ("works", Does::Grant)], 1);
    dispatcher.order(order("one", "breaks", 1));
    let (_, result) = answered(&mut events).await;
    assert_eq!(result.unwrap_err().failure, CallFailure::Broken);
    dispatcher.order(order("two", "works", 1));
    assert!(answered(&mut events).await.1.is_ok());
    assert!(dispatcher.state().placed.is_empty());
}

#[tokio::test]
async fn a_withdrawn_call_frees_its_place_and_is_not_answered() {
    let (dispatcher, mut events) = start(&[("hangs", Does::Hang), ("works", Does::Grant)], 1);
    dispatcher.order(order("one", "hangs", 1));
    tokio::task::yield_now().await;
    assert_eq!(dispatcher.state().lanes.out(), 1);
    dispatcher.order(order("two", "works", 2));
    dispatcher.withdraw(&Caller::from("one"));
    assert_eq!(answered(&mut events).await.0, "two");
    assert!(events.try_recv().is_err());
    let state = dispatcher.state();
    assert_eq!((state.lanes.out(), state.placed.len()), (0, 0));
}

/// Two different callers that fail close a lane.
#[tokio::test]
async fn who_is_gone_has_not_failed() {
    for is_gone in [false, true] {
        let (dispatcher, mut events) = start(&[("refused", Does::Refuse)], 8);
        dispatcher.order(order("one", "refused", 1));
        assert!(answered(&mut events).await.1.is_err());
        if is_gone {
            dispatcher.forget(&Caller::from("one"));
        }
        dispatcher.order(order("two", "refused", 1));
        assert!(answered(&mut events).await.1.is_err());
        tokio::task::yield_now().await;
        let closes = matches!(events.try_recv(), Ok(Event::LanesClosed { .. }));
        assert_eq!(closes, !is_gone);
    }
}

#[tokio::test]
async fn a_lane_that_is_forgotten_is_told_of() {
    let shift: &'static crate::clock::Shift = Box::leak(Box::default());
    let (dispatcher, mut events) = start_at(Clock::shifted(shift), &[("works", Does::Grant)], 8);
    dispatcher.order(order("one", "works", 1));
    assert!(answered(&mut events).await.1.is_ok());
    shift.sleep(601);
    dispatcher.wake();
    let Event::LaneForgotten(lane) = next(&mut events).await else { panic!("something else is told") };
    assert_eq!(lane, order("one", "works", 1).credentials.fingerprint());
}

#[tokio::test]
async fn a_new_order_takes_the_place_of_the_callers_old_one() {
    let (dispatcher, mut events) = start(&[("hangs", Does::Hang), ("works", Does::Grant)], 8);
    dispatcher.order(order("one", "hangs", 1));
    tokio::task::yield_now().await;
    dispatcher.order(order("one", "works", 1));
    assert!(answered(&mut events).await.1.is_ok());
    assert_eq!(dispatcher.state().lanes.out(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silence_is_broken_by_any_answer_and_not_by_another_call_that_goes_unanswered() {
    for (does, silent) in [(Does::TimeOut, true), (Does::Refuse, false)] {
        let shift: &'static crate::clock::Shift = Box::leak(Box::default());
        // One call hangs, and then another of the same lane ends without a grant.
        let (dispatcher, mut events) = start_at(Clock::simulated(shift), &[("a", does)], 8);
        let lane = order("two", "a", 60).credentials.fingerprint();
        dispatcher.state().lanes.enqueue(lane, &Caller::from("hangs"), order("hangs", "a", 60).waiting);
        assert!(dispatcher.state().lanes.next(dispatcher.clock.instant()).is_some());
        tokio::time::sleep(Duration::from_secs(3)).await;
        dispatcher.order(order("two", "a", 60));
        let result = loop {
            if let Event::Answered { result, .. } = next(&mut events).await {
                break result;
            }
        };
        assert!(result.is_err());
        // Nobody waits in a lane that is heard of: one failure alone doesn't close it.
        let closure = dispatcher.state().lanes.closure(lane, &Caller::from("hangs"));
        assert_eq!(closure.is_some(), silent, "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_while_another_is_out_for_the_same_call_ends_nothing() {
    let shift: &'static crate::clock::Shift = Box::leak(Box::default());
    let (dispatcher, mut events) = start_at(Clock::simulated(shift), &[("a", Does::TakeTime)], 8);
    let deadline = dispatcher.clock.instant() + Duration::from_secs(3);
    // A third of what is left: after a second another joins it.
    dispatcher.order(Order { waiting: Waiting { deadline, ..order("one", "a", 0).waiting }, ..order("one", "a", 0) });
    assert!(matches!(next(&mut events).await, Event::AttemptFailed { .. }));
    assert!(matches!(next(&mut events).await, Event::Answered { result: Ok(_), .. }));
}

/// While its first call is answered, another takes that one's place.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Arc<Dispatcher>>>);

impl IssueGrants for Meanwhile {
    fn issue(&self, _: GrantCall, _: Arc<Credentials>) -> BoxFuture<'_, Result<Grant, CallError>> {
        Box::pin(async {
            if let Some(dispatcher) = self.0.lock().unwrap().take() {
                dispatcher.order(Order { tag: "the new one".into(), ..order("one", "a", 1) });
            }
            Ok(Grant::from_stored("{}", None).unwrap())
        })
    }
}

#[tokio::test]
async fn an_answer_to_an_order_that_another_has_just_replaced_is_not_taken_for_the_new_ones() {
    let (told, mut events) = unbounded_channel();
    let issuer = Arc::new(Meanwhile::default());
    let dispatcher = Dispatcher::new(issuer.clone(), Clock::MACHINE, 8, move |event| told.send(event).unwrap());
    *issuer.0.lock().unwrap() = Some(dispatcher.clone());
    tokio::spawn(dispatcher.clone().run());
    dispatcher.order(order("one", "a", 1));
    let Event::Answered { order, .. } = next(&mut events).await else { panic!("no answer") };
    assert_eq!(&*order.tag, "the new one");
    assert!(events.try_recv().is_err() && dispatcher.state().placed.is_empty());
}

#[tokio::test]
async fn who_waits_in_a_closed_lane_is_told_and_can_ask_why() {
    let (dispatcher, mut events) = start(&[("refused", Does::RefuseTwice)], 8);
    for caller in ["one", "two"] {
        dispatcher.order(order(caller, "refused", 1));
    }
    let waits = Order {
        waiting: Waiting { hold: Hold::Own(Clock::MACHINE.instant() + Duration::from_mins(1)), ..order("three", "refused", 2).waiting },
        ..order("three", "refused", 2)
    };
    dispatcher.order(waits);
    assert_eq!(dispatcher.closure(&Caller::from("three")), None);
    let mut failures = 0;
    let told = loop {
        match next(&mut events).await {
            Event::LanesClosed { class, closed, .. } => break (class, closed.waiting),
            Event::Answered { .. } => failures += 1,
            Event::AttemptFailed { .. } | Event::LanesOpened { .. } | Event::LaneForgotten(_) | Event::LaneSlowed { .. } => {
                panic!("nothing else is out for it, and nothing has closed")
            }
        }
    };
    assert_eq!(failures, 2, "one failure alone closes no lane");
    assert_eq!(told, (FailureClass::Unavailable, vec![Caller::from("three")]));
    assert_eq!(dispatcher.closure(&Caller::from("three")), Some((FailureClass::Unavailable, false)));
    assert_eq!(dispatcher.closure(&Caller::from("nobody")), None);
    // The next probe opens it for the one that still waits.
    dispatcher.order(order("four", "refused", 1));
    assert!(matches!(next(&mut events).await, Event::LanesOpened { opened: Opened { waiting: 1, .. }, .. }));
    assert_eq!(answered(&mut events).await.0, "four");
    assert_eq!(dispatcher.closure(&Caller::from("three")), None);
}

#[tokio::test]
async fn after_a_sleep_of_the_machine_a_look_is_taken_when_it_is_woken() {
    let shift: &'static crate::clock::Shift = Box::leak(Box::default());
    let clock = Clock::shifted(shift);
    let (dispatcher, mut events) = start_at(clock, &[("works", Does::Grant)], 8);
    let held = Waiting { hold: Hold::Own(clock.instant() + Duration::from_mins(5)), ..order("one", "works", 1).waiting };
    dispatcher.order(Order { waiting: held, ..order("one", "works", 1) });
    tokio::task::yield_now().await;
    shift.sleep(600);
    assert!(events.try_recv().is_err());
    dispatcher.wake();
    assert_eq!(answered(&mut events).await.0, "one");
}
