//! The less busy of two drawn by weight.
//!
//! Two choices keep the longest queue nearly as short as a look at all endpoints would, and cores that know of each
//! other's calls a moment late do not all run to the same endpoint. The two are drawn by weight and then compared by
//! calls under way for each weight: an idle set is used as the weights say, a busy one so that every weight carries
//! the same load. Where both are alike, the first stays.

use super::draw::Draw;
use super::{Balancer, Candidate};
use crate::exchange::CoreId;
use crate::runtime::random::Rng;

/// The balancer `least_request`.
#[derive(Debug, Default)]
pub struct LeastRequest {
    draw: Draw,
}

impl Balancer for LeastRequest {
    fn pick(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        _key: Option<u64>,
        _core: CoreId,
        random: &mut Rng,
    ) -> Option<usize> {
        if len == 1 {
            return of(0).usable.then_some(0);
        }
        let (first, one) = self.draw.one(len, of, None, random)?;
        let Some((second, other)) = self.draw.one(len, of, Some(first), random) else { return Some(first) };
        let busier = u64::from(one.active) * other.share() > u64::from(other.active) * one.share();
        Some(if busier { second } else { first })
    }

    fn rebuilt(&self, endpoints: &[(u64, u32)]) {
        self.draw.rebuilt(endpoints);
    }
}
