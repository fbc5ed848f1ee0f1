use super::*;

fn head(status: u16) -> AnswerHead {
    AnswerHead { status, retry_after: Some(Duration::from_secs(7)) }
}

fn error(failure: CallFailure) -> CallError {
    CallError { origin: "https://media.example:443".into(), failure }
}

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_answer_that_was_cut_short_counts_as_its_status_says_unless_it_was_a_success() {
    for (status, class) in [
        (201, FailureClass::Unavailable),
        (299, FailureClass::Unavailable),
        (300, FailureClass::Rejected),
        (401, FailureClass::Unauthorized),
        (404, FailureClass::NotFound),
        (429, FailureClass::Throttled { retry_after: Some(Duration::from_secs(7)) }),
        (500, FailureClass::Unavailable),
    ] {
        let head = Some(head(status));
        assert_eq!(error(CallFailure::ConnectionLost { head }).class(), class, "{status}");
        assert_eq!(error(CallFailure::NoAnswerInTime { limit: LIMIT, head }).class(), class, "{status}");
    }
    assert_eq!(error(CallFailure::Status { head: head(299), code: None }).class(), FailureClass::InvalidResponse);
}

#[test]
fn unanswered_is_what_took_all_the_time_that_a_call_has() {
    for (failure, is_unanswered) in [
        (CallFailure::NoAnswerInTime { limit: LIMIT, head: None }, true),
        (CallFailure::ConnectTimedOut { limit: LIMIT }, true),
        (CallFailure::NoAnswerInTime { limit: LIMIT, head: Some(head(201)) }, false),
        (CallFailure::ConnectionLost { head: None }, false),
        (CallFailure::ConnectionRefused, false),
    ] {
        assert_eq!(error(failure.clone()).is_unanswered(), is_unanswered, "{failure:?}");
    }
}

#[test]
fn status_and_code_are_told_where_there_are_any() {
    for (failure, status, code) in [
        (CallFailure::Status { head: head(400), code: Some(60_606) }, Some(400), Some(60_606)),
        (CallFailure::Status { head: head(503), code: None }, Some(503), None),
        (CallFailure::BodyTooLarge { head: head(502) }, Some(502), None),
        (CallFailure::ConnectionLost { head: Some(head(201)) }, Some(201), None),
        (CallFailure::GrantMissing, Some(201), None),
        (CallFailure::UnexpectedSuccess { status: 204 }, Some(204), None),
        (CallFailure::ConnectionRefused, None, None),
        (CallFailure::NoAnswerInTime { limit: LIMIT, head: None }, None, None),
    ] {
        let error = error(failure);
        assert_eq!((error.status(), error.code()), (status, code), "{error:?}");
    }
}

#[test]
fn a_text_says_how_far_it_came() {
    for (failure, said) in [
        (CallFailure::ConnectionLost { head: None }, "before an answer"),
        (CallFailure::ConnectionLost { head: Some(head(502)) }, "within the body of an answer with status 502"),
        (CallFailure::NoAnswerInTime { limit: LIMIT, head: Some(head(201)) }, "within the body of an answer with status 201"),
        (CallFailure::ConnectFailed { kind: None }, "a proxy opened no tunnel"),
        (CallFailure::ConnectFailed { kind: Some(io::ErrorKind::HostUnreachable) }, "host unreachable"),
    ] {
        let text = error(failure).to_string();
        assert!(text.starts_with("POST https://media.example:443: ") && text.contains(said), "{text}");
    }
}

#[test]
fn what_is_a_calls_own_fault_is_nobody_elses() {
    for (class, is_own) in [
        (FailureClass::InvalidResponse, true),
        (FailureClass::NotFound, true),
        (FailureClass::Rejected, true),
        (FailureClass::Unavailable, false),
        (FailureClass::Throttled { retry_after: None }, false),
        (FailureClass::Unauthorized, false),
        (FailureClass::Forbidden, false),
    ] {
        assert_eq!(class.is_own(), is_own, "{class:?}");
    }
}
