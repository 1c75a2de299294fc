use std::sync::Mutex;

use http::StatusCode;

use super::*;
use crate::exchange::{Body, ErrorKind};
use crate::policy::Phase;
use crate::policy::testing::{at_once, exchange};

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Pass,
    Respond,
    Fail,
    Wait,
}

struct Noted {
    name: &'static str,
    phase: Phase,
    inward: Does,
    outward: Does,
    log: Arc<Mutex<Vec<String>>>,
}

impl Noted {
    fn step(&self, way: &str, does: Does) -> Step<'_> {
        self.log.lock().unwrap().push(format!("{}{way}", self.name));
        match does {
            Does::Pass => Step::Continue,
            Does::Respond => Step::Respond(Response::new(StatusCode::IM_A_TEAPOT)),
            Does::Fail => Step::Fail(Error::new(ErrorKind::Forbidden)),
            Does::Wait => Step::Wait(Box::pin(async {
                tokio::task::yield_now().await;
                Ok(None)
            })),
        }
    }
}

impl Policy for Noted {
    fn phase(&self) -> Phase {
        self.phase
    }
    fn kind(&self) -> &'static str {
        self.name
    }
    fn on_request<'a>(&'a self, _: &'a mut Exchange) -> Step<'a> {
        self.step(">", self.inward)
    }
    fn on_response<'a>(&'a self, _: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        let _ = answer.headers.append("x-seen", self.name.as_bytes());
        self.step("<", self.outward)
    }
}

struct Walked {
    log: String,
    status: u16,
    seen: usize,
    noted: Option<ErrorKind>,
}

fn walk(policies: &[(&'static str, Phase, Does, Does)]) -> Walked {
    let log = Arc::new(Mutex::new(Vec::new()));
    let made = policies.iter().map(|(name, phase, inward, outward)| {
        let (name, phase, inward, outward) = (*name, *phase, *inward, *outward);
        Arc::new(Noted { name, phase, inward, outward, log: log.clone() }) as Arc<dyn Policy>
    });
    let chain = Chain::new(made.collect());
    let mut exchange = exchange(&[]);
    let work = async {
        let (entered, early) = chain.inward(&mut exchange).await;
        let mut answer = match early {
            Ok(answer) => answer.unwrap_or_else(|| Response::new(StatusCode::OK)),
            Err(error) => problem(&error, "id"),
        };
        chain.outward(entered, &mut exchange, &mut answer).await;
        answer
    };
    let waits = policies.iter().any(|(_, _, inward, outward)| [*inward, *outward].contains(&Does::Wait));
    let answer = if waits {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    } else {
        at_once(work)
    };
    let log = log.lock().unwrap().join(" ");
    let seen = answer.headers.all("x-seen").count();
    Walked { log, status: answer.status.as_u16(), seen, noted: exchange.record.error }
}

use Does::{Fail, Pass, Respond, Wait};
use Phase::{Authenticate, Authorize, LimitAfter, LimitBefore};

#[test]
fn phases_order_the_policies_and_equals_keep_theirs() {
    let walked = walk(&[
        ("after", LimitAfter, Pass, Pass),
        ("may", Authorize, Pass, Pass),
        ("one", LimitBefore, Pass, Pass),
        ("who", Authenticate, Pass, Pass),
        ("two", LimitBefore, Pass, Pass),
    ]);
    assert_eq!(walked.log, "one> two> who> may> after> after< may< who< two< one<");
    assert_eq!((walked.status, walked.seen), (200, 5));
}

#[test]
fn whoever_was_entered_sees_the_answer_and_nobody_else() {
    for (does, status) in [(Fail, 403), (Respond, 418)] {
        let walked = walk(&[
            ("a", LimitBefore, Pass, Pass),
            ("b", Authenticate, does, Pass),
            ("c", Authorize, Pass, Pass),
        ]);
        assert_eq!(walked.log, "a> b> b< a<");
        assert_eq!((walked.status, walked.seen), (status, 2));
    }
}

#[test]
fn waiting_changes_nothing_of_the_order() {
    let walked = walk(&[("a", LimitBefore, Wait, Pass), ("b", Authorize, Pass, Wait)]);
    assert_eq!(walked.log, "a> b> b< a<");
}

#[test]
fn a_failure_on_the_way_out_becomes_the_answer_that_the_others_see() {
    let walked = walk(&[("a", LimitBefore, Pass, Pass), ("b", Authorize, Pass, Fail)]);
    assert_eq!((walked.log.as_str(), walked.status, walked.seen), ("a> b> b< a<", 403, 1));
    assert_eq!(walked.noted, Some(ErrorKind::Forbidden));
    let walked = walk(&[("a", LimitBefore, Pass, Pass), ("b", Authorize, Pass, Respond)]);
    assert_eq!((walked.status, walked.seen), (418, 1));
}

#[test]
fn an_empty_chain_passes() {
    let mut exchange = exchange(&[]);
    let chain = Chain::default();
    let (entered, early) = at_once(chain.inward(&mut exchange));
    assert!(entered == 0 && matches!(early, Ok(None)));
    let mut answer = Response { body: Body::Bytes("x".into()), ..Response::new(StatusCode::OK) };
    at_once(chain.outward(7, &mut exchange, &mut answer));
    assert_eq!(answer.status, StatusCode::OK);
}
