use super::*;
use crate::policy::testing::exchange;

struct Says(Result<bool, &'static str>);

impl Condition for Says {
    fn holds(&self, _: &Exchange) -> Result<bool, String> {
        self.0.map_err(Into::into)
    }
}

fn ask(rules: &[(Result<bool, &'static str>, Option<&str>)]) -> Option<Error> {
    let rules = rules
        .iter()
        .map(|(says, reason)| Rule { require: Box::new(Says(*says)), reason: reason.map(Into::into) });
    let policy = Authorize::new(rules.collect());
    match policy.on_request(&mut exchange(&[])) {
        Step::Continue => None,
        Step::Fail(error) => Some(error),
        _ => panic!("it passes or fails"),
    }
}

#[test]
fn all_rules_must_hold() {
    assert!(ask(&[]).is_none());
    assert!(ask(&[(Ok(true), None), (Ok(true), Some("no"))]).is_none());
    let error =
        ask(&[(Ok(true), Some("one")), (Ok(false), Some("two")), (Ok(false), Some("three"))]).unwrap();
    assert_eq!((error.kind(), error.public_detail()), (ErrorKind::Forbidden, Some("two")));
    assert_eq!(ask(&[(Ok(false), None)]).unwrap().public_detail(), None);
}

#[test]
fn what_cannot_be_told_denies_and_only_the_log_learns_why() {
    let error = ask(&[(Err("no claim `role` at 1:8"), Some("for admins")), (Ok(true), None)]).unwrap();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.public_detail(), Some("for admins"));
    assert_eq!(error.private_source(), Some("no claim `role` at 1:8"));
}
