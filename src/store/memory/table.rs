//! One shard: an open-addressed table with linear probing; removing shifts followers back, so it never fills with
//! leftovers. It grows by half and is at most four fifths full.
//!
//! **What a full shard gives up.** Of the keys it looks at: one that is over, else the one that has spent least, and
//! among equals the one that was asked longest ago. Plain least recently used would serve an attacker: a flood of
//! fresh keys would push out keys that are near their limit, whose owners would start anew. So a flood displaces the
//! keys of the flood: a spent key goes only where all those that are looked at have spent as much.
//!
//! **Many runs.** Most keys have few runs; those with more than fit into the slot keep them in a store beside the table
//! that holds a sixteenth as many keys. Where it is full their runs are joined until they fit: stricter, never looser.

use super::slot::{Body, EMPTY, INLINE, Packed, Place, Slot, debt, halves, shift};
use crate::store::algorithm::sliding_window::RUNS;
use crate::store::algorithm::{Runs, State, TokenBucket};
use crate::store::{Algorithm, Limit};

/// Places of the table that a new key sweeps.
const SWEEP: usize = 4;
/// Keys among which a full shard looks for the one to give up.
const SAMPLE: usize = 16;
/// The most keys that are given up for a new one: more than one where a reload has lowered how many are kept.
const GIVEN_UP: usize = 4;
/// The smallest table.
const SMALLEST: usize = 8;
/// One of so many keys may have its runs beside the table.
const BESIDE: usize = 16;

/// The runs of a key that has many.
struct Many {
    len: u8,
    runs: [Packed; RUNS],
}

pub(super) struct Table {
    slots: Vec<Slot>,
    used: usize,
    /// Where the next sweep begins.
    cursor: usize,
    /// The limit, as it was last asked: it says when an idle key is over.
    limit: Limit,
    beside: Vec<Many>,
    /// Places of `beside` that are free.
    spare: Vec<u32>,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            slots: vec![EMPTY; SMALLEST],
            used: 0,
            cursor: 0,
            limit: Limit {
                algorithm: Algorithm::SlidingWindow,
                limit: 0,
                window_us: 0,
                burst: 0,
                slowest: 0,
            },
            beside: Vec::new(),
            spare: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    fn home(&self, print: [u64; 2]) -> usize {
        ((u128::from(print[0]) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Where this key is, or the free place where it would be.
    fn probe(&self, print: [u64; 2]) -> usize {
        let mut at = self.home(print);
        // Never endless: a fifth of the table at least is free.
        while self.slots[at].print != print && !self.slots[at].is_free() {
            at = self.after(at);
        }
        at
    }

    /// Where this key is.
    pub(super) fn find(&self, print: [u64; 2]) -> Option<usize> {
        let at = self.probe(print);
        (!self.slots[at].is_free()).then_some(at)
    }

    /// The state of a key, fresh where it is not known.
    pub(super) fn load(&mut self, print: [u64; 2], limit: &Limit) -> State {
        self.limit = *limit;
        let slot = &self.slots[self.probe(print)];
        if slot.is_free() {
            return State::fresh(limit.algorithm);
        }
        match slot.body {
            Body::Fixed(state) => State::Fixed(state),
            Body::Bucket(halves, window) => {
                State::Bucket(TokenBucket::from_parts((debt(halves), slot.written, window)))
            }
            Body::Sliding(shift, place) => {
                let mut runs = Runs::default();
                let unpacked = |run: &Packed| run.run(slot.written, u32::from(shift));
                self.packed(&place).iter().for_each(|run| runs.push(unpacked(run)));
                State::Sliding(runs)
            }
        }
    }

    fn packed<'a>(&'a self, place: &'a Place) -> &'a [Packed] {
        match place {
            Place::Inline(len, runs) => &runs[..usize::from(*len).min(INLINE)],
            Place::Beside(number) => {
                let many = &self.beside[*number as usize];
                &many.runs[..usize::from(many.len)]
            }
        }
    }

    /// Keeps the state of a key, where there is room for so many keys; how many others that still counted were given
    /// up for it.
    pub(super) fn put(&mut self, print: [u64; 2], state: &State, now: u64, room: usize) -> u64 {
        let mut at = self.probe(print);
        let mut evicted = 0;
        if self.slots[at].is_free() {
            self.sweep(SWEEP, now);
            for _ in 0..GIVEN_UP {
                if self.used >= room {
                    evicted += u64::from(self.give_up_one(now));
                }
            }
            self.grow(room);
            at = self.probe(print);
            self.slots[at] = Slot { print, ..EMPTY };
            self.used += 1;
        }
        let body = match state {
            State::Fixed(state) => Body::Fixed(*state),
            State::Bucket(state) => {
                let (debt, _, window) = state.parts();
                Body::Bucket(halves(debt), window)
            }
            State::Sliding(runs) => {
                let shift = shift(self.limit.window_us);
                Body::Sliding(shift as u8, self.pack(at, runs, (now, shift), room))
            }
        };
        if !matches!(body, Body::Sliding(..)) {
            self.free_runs(at);
        }
        let slot = &mut self.slots[at];
        slot.written = now;
        slot.body = body;
        evicted
    }

    fn pack(&mut self, at: usize, runs: &Runs, (now, shift): (u64, u32), room: usize) -> Place {
        if runs.as_slice().len() <= INLINE {
            self.free_runs(at);
            return inline(runs, now, shift);
        }
        let number = match self.slots[at].body {
            Body::Sliding(_, Place::Beside(number)) => Some(number),
            _ => self.spare.pop().or_else(|| self.one_more(room)),
        };
        let Some(number) = number else {
            let mut fewer = runs.clone();
            fewer.join_to(INLINE);
            return inline(&fewer, now, shift);
        };
        let many = &mut self.beside[number as usize];
        many.len = 0;
        for (packed, run) in many.runs.iter_mut().zip(runs.as_slice()) {
            *packed = Packed::of(*run, now, shift);
            many.len += 1;
        }
        Place::Beside(number)
    }

    fn one_more(&mut self, room: usize) -> Option<u32> {
        if self.beside.len() >= (room / BESIDE).max(1) {
            return None;
        }
        self.beside.push(Many { len: 0, runs: [Packed::default(); RUNS] });
        u32::try_from(self.beside.len() - 1).ok()
    }

    fn free_runs(&mut self, at: usize) {
        if let Body::Sliding(_, Place::Beside(number)) = self.slots[at].body {
            self.spare.push(number);
            self.slots[at].body = EMPTY.body;
        }
    }

    /// Frees the expired among the next so many places.
    fn sweep(&mut self, places: usize, now: u64) {
        for _ in 0..places {
            let slot = &self.slots[self.cursor];
            if !slot.is_free() && self.ends(slot) <= now {
                // Another one may have moved into this place: it is looked at next.
                self.remove(self.cursor);
            } else {
                self.cursor = self.after(self.cursor);
            }
        }
    }

    /// Makes room for one by the rule in the head of this file; whether one that still counted had to go.
    fn give_up_one(&mut self, now: u64) -> bool {
        let mut worst: Option<(bool, u64, u64, usize)> = None;
        let mut seen = 0;
        for _ in 0..self.slots.len() {
            let slot = &self.slots[self.cursor];
            if !slot.is_free() {
                let alive = self.ends(slot) > now;
                let candidate = (alive, self.spent(slot, now), slot.written, self.cursor);
                worst = Some(worst.map_or(candidate, |worst| worst.min(candidate)));
                seen += 1;
            }
            self.cursor = self.after(self.cursor);
            if seen == SAMPLE {
                break;
            }
        }
        worst.is_some_and(|(alive, .., at)| {
            self.remove(at);
            alive
        })
    }

    /// When nothing that a key has spent counts any more, in any tier of the limit.
    fn ends(&self, slot: &Slot) -> u64 {
        let (window, algorithm) = (self.limit.window_us, self.limit.algorithm);
        let last = match slot.body {
            Body::Fixed(state) if algorithm == Algorithm::FixedWindow => return state.ends(window),
            Body::Fixed(state) => state.last,
            Body::Sliding(..) | Body::Bucket(..) => slot.written,
        };
        let counts = match algorithm {
            Algorithm::TokenBucket if self.limit.slowest > 0 => {
                let time = u128::from(self.permits(slot)) * u128::from(window);
                u64::try_from(time.div_ceil(u128::from(self.limit.slowest))).unwrap_or(u64::MAX)
            }
            _ => window,
        };
        last.saturating_add(counts)
    }

    /// Permits that a key had spent when it was written.
    fn permits(&self, slot: &Slot) -> u64 {
        match &slot.body {
            Body::Fixed(state) => state.spent,
            Body::Sliding(_, place) => self.packed(place).iter().map(|run| run.permits()).sum(),
            Body::Bucket(halves, window) => {
                TokenBucket::from_parts((debt(*halves), slot.written, *window)).owed().1
            }
        }
    }

    /// Permits that a key has spent, roughly: by what a full shard compares its keys.
    fn spent(&self, slot: &Slot, now: u64) -> u64 {
        let permits = self.permits(slot);
        if !matches!(slot.body, Body::Bucket(..)) {
            return permits;
        }
        let refilled = u128::from(now.saturating_sub(slot.written)) * u128::from(self.limit.slowest)
            / u128::from(self.limit.window_us.max(1));
        permits.saturating_sub(u64::try_from(refilled).unwrap_or(u64::MAX))
    }

    fn remove(&mut self, at: usize) {
        self.free_runs(at);
        let places = self.slots.len();
        let back = |from: usize, to: usize| (from + places - to) % places;
        let mut hole = at;
        let mut next = self.after(hole);
        while !self.slots[next].is_free() {
            let home = self.home(self.slots[next].print);
            // It may move back only if its home does not lie behind the hole.
            if back(next, home) >= back(next, hole) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    /// Grows the table by half before it is more than four fifths full.
    fn grow(&mut self, room: usize) {
        if (self.used + 1) * 5 <= self.slots.len() * 4 {
            return;
        }
        let most = room * 5 / 4 + 2;
        self.resize((self.slots.len() * 3 / 2).min(most.max(self.slots.len() + 1)));
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; places]);
        self.cursor = 0;
        for slot in old.into_iter().filter(|slot| !slot.is_free()) {
            let at = self.probe(slot.print);
            self.slots[at] = slot;
        }
    }

    /// Frees every expired key, and memory where the table is much too large.
    pub(super) fn tidy(&mut self, now: u64) {
        if self.used > 0 {
            self.cursor = 0;
            // A place that is freed is looked at again, for what has moved into it.
            self.sweep(self.slots.len() + self.used, now);
        }
        if self.slots.len() > SMALLEST && self.used * 4 < self.slots.len() {
            self.resize((self.used * 3 / 2).max(SMALLEST));
        }
        if self.spare.len() == self.beside.len() {
            self.beside = Vec::new();
            self.spare = Vec::new();
        }
    }
}

fn inline(runs: &Runs, now: u64, shift: u32) -> Place {
    let mut packed = [Packed::default(); INLINE];
    let mut len = 0;
    for (packed, run) in packed.iter_mut().zip(runs.as_slice()) {
        *packed = Packed::of(*run, now, shift);
        len += 1;
    }
    Place::Inline(len, packed)
}
