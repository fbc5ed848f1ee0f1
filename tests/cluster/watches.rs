//! The watches, where the way to the API server is cut, where they are too old to go on, and where one is forbidden.

mod cut;
mod forbidden;
mod noticed;

use crate::harness::{ClusterTest, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("watches::connections_cut_again_and_again_cost_nothing", cut::again_and_again),
        test("watches::one_of_three_namespaces_forbidden_slows_no_other", forbidden::one_of_three),
        test("watches::a_watch_that_is_too_old_begins_anew", noticed::by_a_watch_that_is_too_old),
        test("watches::what_went_while_they_were_cut_is_noticed", noticed::after_a_cut),
    ]
}
