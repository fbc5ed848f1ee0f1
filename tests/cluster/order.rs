//! No older grant lands over a newer one, though the API server takes what waits for it in any order.
//!
//! It is held (SIGSTOP) while writes are sent, and then has several of the same Secret at once. So each such test has a control plane of its own.

mod operators;
mod pairs;
mod statuses;

use crate::harness::{ClusterTest, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("order::with_two_operators_no_older_grant_lands_over_a_newer", operators::with_two),
        test("order::with_one_operator_no_older_grant_lands_over_a_newer", operators::with_one),
        test("order::of_statuses_few_are_written_at_once", statuses::few_are_written_at_once),
        test("order::a_patch_by_uid_alone_loses_races_and_one_by_version_none", pairs::by_uid_and_by_version),
    ]
}
