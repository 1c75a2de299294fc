//! A source that is called once for every item of a list.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use http::StatusCode;
use smallvec::SmallVec;

use crate::exchange::JsonValue as Json;
use crate::expression::Ground;

use super::call::Line;
use super::outcome::{Carried, Failure, Fault, Given, Origin};
use super::source::{ForEach, Unasked};

type Call<'a> = Pin<Box<dyn Future<Output = Result<Given, Unasked>> + 'a>>;

/// Calls the source for every item, so many at a time; the first that fails ends the others.
///
/// # Errors
/// The list is none or too long, or an item failed.
pub(super) async fn each(line: &Line<'_>, for_each: &ForEach, ground: Ground<'_>) -> Result<Given, Unasked> {
    let failed = |fault, why: String| Unasked::Failed(Failure::new(fault, why));
    let list = match for_each.list.value(ground) {
        Ok(Json::Array(list)) => list,
        Ok(_) => return Err(failed(Fault::Dependency, "`for_each` gives no list".into())),
        Err(error) => return Err(failed(Fault::Dependency, error.to_string())),
    };
    if list.len() > for_each.max_items {
        let why = format!("{} items are more than `max_items`", list.len());
        return Err(failed(Fault::TooLarge, why));
    }
    let mut running: Vec<(usize, Call<'_>)> = Vec::with_capacity(for_each.concurrency.min(list.len()));
    let mut given: Vec<Option<Given>> = list.iter().map(|_| None).collect();
    let mut next = 0;
    poll_fn(|cx| {
        loop {
            while next < list.len() && running.len() < for_each.concurrency {
                running.push((next, Box::pin(line.call(ground.with_item(&list[next])))));
                next += 1;
            }
            let before = running.len();
            let mut at = 0;
            while let Some((item, call)) = running.get_mut(at) {
                match call.as_mut().poll(cx) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Err(unasked)) => return Poll::Ready(Err(named(unasked, *item))),
                    Poll::Ready(Ok(answer)) => {
                        given[*item] = Some(answer);
                        drop(running.swap_remove(at));
                    }
                }
            }
            if running.is_empty() && next == list.len() {
                return Poll::Ready(Ok(()));
            }
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await?;
    let mut said = SmallVec::new();
    let mut items = Vec::with_capacity(given.len());
    let mut origin = Origin::Service;
    for mut given in given.into_iter().flatten() {
        said.append(&mut given.said);
        items.push(given.body.whole());
        // One old item makes an old list.
        if given.origin == Origin::Stale || origin == Origin::Service {
            origin = given.origin;
        }
    }
    Ok(Given { status: StatusCode::OK, said, body: Carried::List(items), origin })
}

/// A failure with the item that it came of, counted from 0 as in CEL.
fn named(unasked: Unasked, item: usize) -> Unasked {
    match unasked {
        Unasked::Failed(Failure { fault, why }) => {
            Unasked::Failed(Failure { fault, why: format!("item {item}: {why}") })
        }
        refused @ Unasked::Refused(_) => refused,
    }
}
