//! How the places for calls in flight are shared among lanes.

/// A lane may take so many times what it leaves free. One alone then has eight ninths of all, and two that have taken what they can leave room
/// for a third.
const TIMES_WHAT_IS_FREE: usize = 8;

/// Whether a lane that has `in_lane` calls in flight may send one more, when there are `in_flight` in all and may be `most`.
///
/// So an account whose calls hang can't take the places of the others.
pub(super) const fn leaves_room(in_lane: usize, in_flight: usize, most: usize) -> bool {
    in_lane < most.saturating_sub(in_flight).saturating_mul(TIMES_WHAT_IS_FREE)
}

#[cfg(test)]
mod tests {
    use super::leaves_room;
    use proptest::prelude::*;

    /// How many calls a lane takes when `taken` places are.
    fn takes(taken: usize, most: usize) -> usize {
        (0..=most).find(|in_lane| !leaves_room(*in_lane, taken + in_lane, most)).unwrap()
    }

    #[test]
    fn each_hanging_lane_takes_eight_ninths_of_what_is_left() {
        let mut shares = Vec::new();
        while shares.len() < 4 {
            shares.push(takes(shares.iter().sum(), 512));
        }
        assert_eq!(shares, [456, 50, 6, 0]);
        assert_eq!(takes(0, 1), 1);
    }

    proptest! {
        #[test]
        fn never_more_than_all_and_one_alone_is_always_served(most in 1_usize..2000, taken in 0_usize..2000) {
            let taken = taken.min(most);
            prop_assert!(taken + takes(taken, most) <= most);
            prop_assert_eq!(leaves_room(0, taken, most), taken < most);
        }
    }
}
