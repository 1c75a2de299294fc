//! Hashes of keys and addresses that are the same in every process, version and machine.

/// The hash of bytes: FNV-1a, stirred once more so that every bit counts.
///
/// It is no secret: who knows it can find keys that fall on one endpoint. Bounded load is what stands against that.
pub fn stable(bytes: &[u8]) -> u64 {
    mix(bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Stirs a number: close numbers come out far apart (the finaliser of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number of one key and one endpoint, in (0, 1].
pub(super) fn fraction(key: u64, endpoint: u64) -> f64 {
    ((mix(key ^ mix(endpoint)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_stays_what_it_is() {
        // A change here moves every key of every fleet at an update of the gate.
        assert_eq!(stable(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(stable(b"10.0.0.1:3001"), 0xa9f6_a460_22cd_5243);
    }

    #[test]
    fn a_fraction_is_neither_nothing_nor_more_than_one() {
        for i in 0..10_000 {
            let fraction = fraction(i, 7);
            assert!(fraction > 0.0 && fraction <= 1.0, "{fraction}");
        }
    }
}
