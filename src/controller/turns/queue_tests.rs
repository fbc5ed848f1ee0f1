//! Who is given a turn, and who is woken for one.

use super::Urgency::{Transition, Unanswered, Usual};
use super::*;

const LIMITS: Limits = Limits { at_once: 4, unanswered: 2, first_of_theirs: 3 };
const AT_ONCE: usize = 4;

fn callers(count: usize) -> Vec<Caller> {
    (0..count).map(|n| Caller::from(format!("uid-{n}"))).collect()
}

#[test]
fn few_go_at_once_and_the_others_in_the_order_in_which_they_came() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(AT_ONCE + 3);
    let taken: Vec<bool> = callers.iter().map(|caller| queue.take("web", caller, Usual)).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), AT_ONCE);
    assert!(!queue.take("web", &callers[AT_ONCE], Usual), "it waits already");
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE]));
    assert!(queue.take("web", &callers[0], Usual), "it was quicker");
    assert!(!queue.take("web", &callers[AT_ONCE], Usual));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE]), "who was overtaken is first again");
    // One that comes by itself doesn't wait any more.
    assert!(queue.take("web", &callers[AT_ONCE + 1], Usual) && !queue.take("web", &callers[AT_ONCE], Usual));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE]));
    assert!(queue.take("web", &callers[AT_ONCE], Usual) && !queue.take("web", &callers[AT_ONCE + 1], Usual));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE + 2]));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE + 1]));
    let rest: Vec<_> = (0..AT_ONCE - 2).map(|_| queue.give_back("web", Usual)).collect();
    assert!(rest.iter().all(Option::is_none) && queue.taken == 0 && queue.waits.is_empty());
}

#[test]
fn those_that_are_left_unanswered_hold_up_nobody_else() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(7);
    assert!(queue.take("web", &callers[0], Unanswered) && queue.take("web", &callers[1], Unanswered));
    assert!(!queue.take("web", &callers[2], Unanswered) && !queue.take("web", &callers[3], Unanswered));
    assert!(queue.take("web", &callers[4], Usual) && queue.take("web", &callers[5], Usual), "the rest is for those who are answered");
    assert!(!queue.take("web", &callers[6], Usual));
    assert_eq!(queue.give_back("web", Unanswered).as_ref(), Some(&callers[6]), "they go first, though they came later");
    assert!(queue.take("web", &callers[6], Usual));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[2]), "there is room for one");
    assert!(queue.take("web", &callers[2], Unanswered));
    assert_eq!(queue.give_back("web", Usual), None, "and for no more, though a turn is free");
    assert_eq!(queue.give_back("web", Unanswered).as_ref(), Some(&callers[3]));
}

#[test]
fn where_the_last_was_left_unanswered_the_next_count_for_it_until_one_is_answered() {
    let mut queue = Queue::new(LIMITS);
    queue.ended("web", Unanswered, false);
    assert_eq!(queue.urgency_in("web", Transition), Transition, "one that had hung before says nothing of the others");
    queue.ended("web", Transition, false);
    queue.ended("web", Transition, false);
    assert_eq!([queue.urgency_in("web", Transition), queue.urgency_in("other", Usual)], [Unanswered, Usual]);
    queue.ended("other", Transition, true);
    assert_eq!(queue.urgency_in("web", Usual), Unanswered);
    queue.ended("web", Transition, true);
    assert_eq!([queue.urgency_in("web", Transition), queue.urgency_in("web", Unanswered)], [Transition, Unanswered]);
}

#[test]
fn a_turn_that_whoever_was_woken_may_not_take_any_more_goes_to_the_next() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(AT_ONCE + 4);
    assert_eq!(callers.iter().filter(|caller| queue.take("web", caller, Transition)).count(), AT_ONCE);
    // What is under way in their namespace turns out to hang, and two of it are tried again.
    let [first, second] = [0, 1].map(|_| queue.give_back("web", Transition).unwrap());
    assert_eq!([queue.come("web", &first, Unanswered), queue.come("web", &second, Unanswered)], [(true, None), (true, None)]);
    let third = queue.give_back("web", Transition).unwrap();
    let healthy = callers.last().unwrap();
    assert_eq!(queue.come("web", &third, Unanswered), (false, Some(healthy.clone())));
    assert_eq!(queue.come("web", healthy, Transition), (true, None));
    assert_eq!(queue.come("web", &third, Unanswered), (false, None), "it was woken for nothing, and waits again");
}

#[test]
fn a_transition_goes_before_what_is_as_usual_and_who_comes_with_one_moves_up() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(AT_ONCE + 4);
    assert_eq!(callers.iter().take(AT_ONCE + 2).filter(|caller| queue.take("web", caller, Usual)).count(), AT_ONCE);
    assert!(!queue.take("web", &callers[AT_ONCE + 2], Transition) && !queue.take("web", &callers[AT_ONCE + 3], Usual));
    assert!(!queue.take("web", &callers[AT_ONCE + 1], Transition), "it waits already, for less");
    let order: Vec<_> = (0..AT_ONCE).filter_map(|_| queue.give_back("web", Usual)).collect();
    assert_eq!(order, [2, 1, 0, 3].map(|n| callers[AT_ONCE + n].clone()));
    assert!(queue.waits.is_empty());
}

#[test]
fn those_that_are_left_unanswered_come_to_their_turn_where_others_always_wait() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(AT_ONCE + 3);
    assert_eq!(callers.iter().take(AT_ONCE + 2).filter(|caller| queue.take("web", caller, Usual)).count(), AT_ONCE);
    assert!(!queue.take("web", &callers[AT_ONCE + 2], Unanswered));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE + 2]), "one of them goes first");
    assert!(queue.take("web", &callers[AT_ONCE + 2], Unanswered));
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE]), "and the next after the others");
}

#[test]
fn who_leaves_before_being_woken_takes_nobodys_turn() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(AT_ONCE + 2);
    assert_eq!(callers.iter().filter(|caller| queue.take("web", caller, Usual)).count(), AT_ONCE);
    assert_eq!(queue.leave(&callers[AT_ONCE]), None, "all turns are taken");
    assert_eq!(queue.give_back("web", Usual).as_ref(), Some(&callers[AT_ONCE + 1]));
    assert_eq!((queue.leave(&callers[AT_ONCE + 1]), queue.woken.len()), (None, 0));
}

#[test]
fn one_that_was_left_unanswered_by_chance_waits_behind_none_of_those_that_hang() {
    let mut queue = Queue::new(Limits { at_once: 8, unanswered: 2, first_of_theirs: 4 });
    let callers = callers(9);
    let come = |queue: &mut Queue, namespace, n: usize| queue.take(namespace, &callers[n], Unanswered);
    assert_eq!([0, 1, 2, 3].map(|n| come(&mut queue, "hangs", n)), [true, true, false, false]);
    assert!(come(&mut queue, "web", 4), "it is the only one of its namespace");
    assert!(!come(&mut queue, "web", 5) && come(&mut queue, "kiosk", 6) && !come(&mut queue, "other", 7), "four of eight, and no more");
    let mut woken = |namespace| queue.give_back(namespace, Unanswered);
    assert_eq!(woken("kiosk").as_ref(), Some(&callers[7]), "whose namespace has none goes first, though others came before");
    assert_eq!(woken("web").as_ref(), Some(&callers[5]));
    assert_eq!((woken("hangs"), woken("hangs").as_ref()), (Some(callers[2].clone()), Some(&callers[3])));
    assert_eq!((queue.taken, queue.taken_by_unanswered, queue.namespaces.len()), (0, 0, 0), "and nothing is kept of whom nobody waits for");
}

#[test]
fn namespaces_come_by_turns() {
    let mut queue = Queue::new(Limits { at_once: 2, unanswered: 1, first_of_theirs: 1 });
    let callers = callers(6);
    for (n, namespace) in ["a", "a", "a", "b", "b", "b"].into_iter().enumerate() {
        queue.ended(namespace, Transition, false);
        assert_eq!(queue.take(namespace, &callers[n], Unanswered), n == 0);
    }
    let (mut order, mut last) = (Vec::new(), "a");
    while let Some(next) = queue.give_back(last, Unanswered) {
        let n = callers.iter().position(|caller| *caller == next).unwrap();
        last = if n < 3 { "a" } else { "b" };
        assert!(queue.take(last, &next, Unanswered));
        order.push(last);
    }
    assert_eq!(order, ["b", "a", "b", "a", "b"]);
}

#[test]
fn when_a_namespace_is_answered_all_who_wait_for_that_come() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(6);
    for namespace in ["web", "hangs"] {
        queue.ended(namespace, Transition, false);
    }
    let taken: Vec<bool> = (0..5).map(|n| queue.take("web", &callers[n], Unanswered)).collect();
    assert_eq!(taken, [true, true, false, false, false]);
    assert!(queue.take("hangs", &callers[5], Unanswered));
    assert_eq!(queue.ended("web", Transition, true), &callers[2..5]);
    assert_eq!((queue.urgency_in("web", Usual), queue.waits.len(), queue.woken.len()), (Usual, 0, 0));
    assert!(queue.ended("web", Transition, true).is_empty(), "nothing is new");
    assert_eq!(queue.urgency_in("hangs", Usual), Unanswered);
}

#[test]
fn a_turn_that_was_kept_for_the_unanswered_goes_on_to_the_next_where_another_is_taken() {
    let mut queue = Queue::new(LIMITS);
    let callers = callers(4);
    let taken: Vec<bool> = callers.iter().map(|caller| queue.take("web", caller, Unanswered)).collect();
    assert_eq!(taken, [true, true, false, false]);
    let woken = queue.give_back("web", Unanswered).unwrap();
    assert_eq!(queue.come("web", &woken, Transition), (true, Some(callers[3].clone())));
    assert_eq!(queue.come("web", &callers[3], Unanswered), (true, None));
}
