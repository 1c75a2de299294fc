use super::super::retry::retry_on;
use super::*;
use crate::config::RetryOn;
use crate::exchange::CallPhase;

/// The cells of a row of a table, without its marks.
fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

/// The rows of the table that has this head.
fn table(head: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/resilience.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn party(name: &str) -> Party {
    match name {
        "client" => Party::Client,
        "service" => Party::Service,
        "gateway" => Party::Gateway,
        other => panic!("no party: {other}"),
    }
}

fn phase(name: &str) -> CallPhase {
    match name {
        "connect" => CallPhase::Connect,
        "send" => CallPhase::Send,
        "head" => CallPhase::Head,
        "body" => CallPhase::Body,
        other => panic!("no phase: {other}"),
    }
}

fn cause(name: &str) -> Cause {
    match name {
        "refused" => Cause::Refused,
        "timeout" => Cause::Timeout,
        "deadline" => Cause::Deadline,
        "reset" => Cause::Reset,
        "incomplete" => Cause::Incomplete,
        "protocol" => Cause::Protocol,
        "coding" => Cause::Coding,
        "stalled" => Cause::Stalled,
        "left" => Cause::Left,
        "exhausted" => Cause::Exhausted,
        "full" => Cause::Full,
        other => panic!("no cause: {other}"),
    }
}

#[test]
fn the_table_of_blame_is_what_the_code_does() {
    let rows = table("| Ending | Party |");
    assert!(rows.len() >= 20, "{} rows", rows.len());
    for row in rows {
        let [ending, who, when, what, answer, reason, counts, retried] = row.as_slice() else {
            panic!("not eight cells: {row:?}");
        };
        let failure = Failure::new(party(who), phase(when), cause(what));
        let kind = failure.kind();
        let expected = format!("{} {}", kind.status().as_u16(), kind.phrase());
        assert_eq!((answer, reason.as_str()), (&expected, failure.reason()), "{ending}");
        let verdicts = [true, false].map(|accuses| of_failure(failure, || accuses).is_bad());
        let expected = match counts.as_str() {
            "yes" => [true, true],
            "if silent" => [true, false],
            no if no.starts_with("no") => [false, false],
            other => panic!("{ending}: {other}"),
        };
        assert_eq!(verdicts, expected, "{ending}");
        let expected = match retried.as_str() {
            "connect" => Some(RetryOn::Connect),
            "reset" => Some(RetryOn::Reset),
            "timeout" => Some(RetryOn::Timeout),
            _ => None,
        };
        assert_eq!(retry_on(failure), expected, "{ending}");
    }
}

#[test]
fn statuses_count_as_the_page_says() {
    for status in 200..=599 {
        let status = StatusCode::from_u16(status).unwrap();
        let bad = matches!(status.as_u16(), 502..=504);
        assert_eq!(of_status(status).is_bad(), bad, "{status}");
        assert_eq!(fails_endpoint(status), status.as_u16() >= 500, "{status}");
    }
}
