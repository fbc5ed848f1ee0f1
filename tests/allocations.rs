//! How often the parts of a refresh that the profile showed to matter allocate: a count that no other load on the machine changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../benches/micro/cases.rs"]
mod cases;

use cases::{Fleet, Quiet, decode_request, decode_secret};
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta, WatchEvent};
use playback_grant_operator::api::PlaybackGrantRequest;

/// Counts on this thread alone.
fn allocations<T>(action: impl FnOnce() -> T) -> u64 {
    let mut made = None;
    let counted = allocation_counter::measure(|| made = Some(action()));
    drop(made);
    counted.count_total
}

#[test]
fn a_look_that_finds_nothing_due_makes_little_but_the_status_that_it_compares() {
    let quiet = Quiet::new();
    let looked = allocations(|| quiet.decide());
    assert!((1..=20).contains(&looked), "{looked} allocations");
    let ordered = allocations(|| quiet.order());
    assert!((1..=24).contains(&ordered), "{ordered} allocations for what is to be written");
}

/// But for the grant itself.
#[test]
fn of_a_request_no_more_is_kept_than_is_read() {
    let quiet = Quiet::new();
    // A memory whose names others know too, and one that is alone with them.
    for (is_alone, bytes, pieces) in [(false, 2624, 36), (true, 3248, 40)] {
        let kept = allocation_counter::measure(|| std::mem::forget(quiet.kept(is_alone)));
        assert!((1..=bytes).contains(&kept.bytes_current), "{} bytes, alone: {is_alone}", kept.bytes_current);
        assert!((1..=pieces).contains(&kept.count_current), "in {} pieces, alone: {is_alone}", kept.count_current);
    }
}

/// The library's types for the same make something of all that the API server sends, and of a request twice.
#[test]
fn of_an_event_only_what_is_read_is_made() {
    let quiet = Quiet::new();
    let (secret, request) = (quiet.secret_event(), quiet.request_event());
    let whole = |event: &str| allocations(|| serde_json::from_str::<WatchEvent<PartialObjectMeta<Secret>>>(event).unwrap());
    let (read, all) = (allocations(|| decode_secret(&secret)), whole(&secret));
    assert!(read > 0 && read < all, "of a Secret: {read} allocations, and {all}");
    let guarded = |event: &str| allocations(|| serde_json::from_str::<WatchEvent<DeserializeGuard<PlaybackGrantRequest>>>(event).unwrap());
    let (read, all) = (allocations(|| decode_request(&request)), guarded(&request));
    assert!(read > 0 && read * 3 < all, "of a request: {read} allocations, and {all}");
}

#[test]
fn a_lanes_call_allocates_no_more_where_ten_times_as_many_refresh() {
    let of = |size| {
        let mut fleet = Fleet::new(size);
        // The first rounds make room.
        (0..100).for_each(|_| fleet.refresh());
        (0..100).map(|_| allocations(|| fleet.refresh())).sum::<u64>()
    };
    let (few, many) = (of(1000), of(10_000));
    assert!(few > 0 && many <= few + few / 10, "{few} and {many} allocations in 100 calls");
}
