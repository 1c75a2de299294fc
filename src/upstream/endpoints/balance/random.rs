//! By chance, each endpoint as often as its weight says.

use super::draw::Draw;
use super::{Balancer, Candidate};
use crate::exchange::CoreId;
use crate::runtime::random::Rng;

/// The balancer `random`.
#[derive(Debug, Default)]
pub struct Random {
    draw: Draw,
}

impl Balancer for Random {
    fn pick(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        _key: Option<u64>,
        _core: CoreId,
        random: &mut Rng,
    ) -> Option<usize> {
        self.draw.one(len, of, None, random).map(|(index, _)| index)
    }

    fn rebuilt(&self, endpoints: &[(u64, u32)]) {
        self.draw.rebuilt(endpoints);
    }
}
