//! A deadline that moves with every message and almost never comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::runtime::time::Sleep;
use crate::runtime::{clock, time};

/// A timer that is armed late: moving its deadline further away costs nothing, because the sleep that is armed
/// already fires first, sees the later deadline and goes to sleep again. One lives as long as its connection.
#[derive(Default)]
pub struct Timer {
    sleep: Option<Armed>,
}

struct Armed {
    /// When the sleep ends.
    until: Instant,
    sleep: Pin<Box<Sleep>>,
    /// Who is woken then.
    waker: Waker,
}

impl Timer {
    /// A timer that holds nothing until it is first polled.
    pub const fn new() -> Timer {
        Timer { sleep: None }
    }

    /// Ready once `deadline` has passed; until then the task is woken when it does.
    pub fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let armed = self.sleep.get_or_insert_with(|| Armed {
            until: deadline,
            sleep: Box::pin(time::sleep_until(deadline)),
            waker: Waker::noop().clone(),
        });
        if armed.until > deadline {
            armed.sleep.as_mut().reset(deadline.into());
            armed.until = deadline;
        } else if armed.waker.will_wake(cx.waker()) && !armed.sleep.is_elapsed() {
            // It wakes this task, and early enough: asking it again would change nothing.
            return Poll::Pending;
        }
        while armed.sleep.as_mut().poll(cx).is_ready() {
            if clock::read() >= deadline {
                return Poll::Ready(());
            }
            armed.sleep.as_mut().reset(deadline.into());
            armed.until = deadline;
        }
        armed.waker.clone_from(cx.waker());
        Poll::Pending
    }

    /// Gives the memory back; the next poll starts anew.
    pub fn release(&mut self) {
        self.sleep = None;
    }
}
