//! A deadline that moves with every message and almost never comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::runtime::time::Sleep;
use crate::runtime::{clock, task, time};

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
        // A task that has used up its turn is not registered with the timer: it is asked again then.
        if task::has_budget() {
            armed.waker.clone_from(cx.waker());
        }
        Poll::Pending
    }

    /// Gives the memory back; the next poll starts anew.
    pub fn release(&mut self) {
        self.sleep = None;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    fn run<F: Future<Output = ()>>(test: F) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // A timer that is lost then shows at once: time passes up to this one.
        let bound = async { tokio::time::timeout(Duration::from_secs(10), test).await };
        runtime.block_on(bound).expect("the timer ends");
    }

    #[test]
    fn it_ends_at_its_deadline_however_that_moves() {
        run(async {
            let (mut timer, start) = (Timer::new(), clock::read());
            let mut deadline = start + Duration::from_millis(50);
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls == 2 {
                    deadline = start + Duration::from_millis(400);
                }
                timer.poll(deadline, cx)
            })
            .await;
            assert_eq!((clock::read() - start).as_millis(), 400);
            deadline = start + Duration::from_millis(900);
            assert!(poll_fn(|cx| Poll::Ready(timer.poll(deadline, cx))).await.is_pending());
            deadline = start + Duration::from_millis(600);
            poll_fn(|cx| timer.poll(deadline, cx)).await;
            assert_eq!((clock::read() - start).as_millis(), 600);
        });
    }

    #[test]
    fn it_ends_also_where_it_was_first_asked_in_a_turn_that_was_used_up() {
        run(async {
            let (mut timer, start) = (Timer::new(), clock::read());
            let deadline = start + Duration::from_millis(50);
            poll_fn(|cx| {
                while let Poll::Ready(progress) = tokio::task::coop::poll_proceed(cx) {
                    progress.made_progress();
                }
                let asked = timer.poll(deadline, cx);
                assert!(asked.is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
            poll_fn(|cx| timer.poll(deadline, cx)).await;
            assert_eq!((clock::read() - start).as_millis(), 50);
        });
    }

    #[test]
    fn it_wakes_the_task_that_asked_last() {
        run(async {
            let (mut timer, start) = (Timer::new(), clock::read());
            let deadline = start + Duration::from_millis(50);
            let mut elsewhere = Context::from_waker(Waker::noop());
            assert!(timer.poll(deadline, &mut elsewhere).is_pending());
            poll_fn(|cx| timer.poll(deadline, cx)).await;
            assert_eq!((clock::read() - start).as_millis(), 50);
        });
    }
}
