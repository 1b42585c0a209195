//! Numeric functions of placement: a mixer, a hash of bytes, and a logarithm that is equal on every platform.

/// The odd constant of SplitMix64: 2^64 divided by the golden ratio.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Stafford's variant 13 of MurmurHash3's finalizer, as in SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every
/// input bit flips every output bit with probability close to one half.
pub(crate) const fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 bits from any bytes, the same on every platform and in every version: placements depend on it.
///
/// Sixteen bytes at a time are multiplied into the state, and the halves of the 128-bit product are folded (as in
/// wyhash, Wang Yi, 2019). About 3 ns for a short key. It has no secret: a client that can choose keys can make them
/// collide.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    const KEYS: [u64; 4] =
        [mix64(GOLDEN), mix64(2_u64.wrapping_mul(GOLDEN)), mix64(3_u64.wrapping_mul(GOLDEN)), GOLDEN];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let half = |bytes: &[u8]| bytes.first_chunk().map_or(0, |chunk| u64::from(u32::from_le_bytes(*chunk)));

    let mut state = KEYS[0];
    let mut rest = bytes;
    while rest.len() > 16 {
        state = fold(state ^ word(rest), KEYS[1] ^ word(&rest[8..]));
        rest = &rest[16..];
    }
    // The first and last word of the remaining bytes overlap if those are less than two words; the length, hashed last,
    // distinguishes such keys.
    let (a, b) = match rest {
        [] => (0, 0),
        [_, _, _, _, _, _, _, _, ..] => (word(rest), word(&rest[rest.len() - 8..])),
        [_, _, _, _, ..] => (half(rest), half(&rest[rest.len() - 4..])),
        [first, .., last] => (u64::from(*first) << 8 | u64::from(rest[rest.len() / 2]), u64::from(*last)),
        [only] => (u64::from(*only), 0),
    };
    state = fold(state ^ a, KEYS[1] ^ b);
    fold(state ^ KEYS[2], KEYS[3] ^ bytes.len() as u64)
}

/// `-ln(u)` for `u` uniform in (0, 1), taken from the bits of `hash`: an exponential variate.
///
/// Proxies that compare such scores must agree to the bit, and the result of `f64::ln` depends on the platform's libm.
/// This uses only additions, multiplications and divisions, which IEEE 754 rounds the same everywhere:
/// u = 2^-k · m with m in [1, 2), and ln(m) = 2·artanh((m-1)/(m+1)) by its series, to within 1e-9.
pub(crate) const fn exponential(hash: u64) -> f64 {
    // 52 random bits with the lowest set: never zero, so the logarithm is finite.
    let bits = (hash >> 12) | 1;
    let exponent = bits.leading_zeros() - 12;
    let mantissa = f64::from_bits(((bits << (exponent + 1)) & ((1 << 52) - 1)) | (1023 << 52));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let mut series = 0.0;
    let mut odd = 17.0;
    while odd > 0.0 {
        series = series * t2 + 1.0 / odd;
        odd -= 2.0;
    }
    (exponent + 1) as f64 * core::f64::consts::LN_2 - 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_minus_the_logarithm() {
        for i in 0..100_000_u64 {
            let hash = mix64(i);
            let u = ((hash >> 12) | 1) as f64 / (1_u64 << 52) as f64;
            let (ours, libm) = (exponential(hash), -u.ln());
            assert!((ours - libm).abs() < 1e-8, "hash {hash:#x}: {ours} against {libm}");
        }
        assert!(exponential(0).is_finite());
        assert!(exponential(u64::MAX) >= 0.0);
    }

    #[test]
    fn every_bit_of_a_key_of_any_length_flips_half_of_its_hash() {
        for len in 1..=40_usize {
            let mut flips = [0_u32; 64];
            let mut trials = 0;
            for seed in 0..40_u64 {
                let mut key: Vec<u8> = (0..len as u64).map(|i| mix64(seed << 8 | i) as u8).collect();
                let before = hash_bytes(&key);
                for bit in 0..len * 8 {
                    key[bit / 8] ^= 1 << (bit % 8);
                    let flipped = before ^ hash_bytes(&key);
                    key[bit / 8] ^= 1 << (bit % 8);
                    assert!(flipped.count_ones() > 8, "length {len}, bit {bit}: {flipped:#x}");
                    trials += 1;
                    flips.iter_mut().enumerate().for_each(|(i, n)| *n += (flipped >> i) as u32 & 1);
                }
            }
            for (bit, count) in flips.iter().enumerate() {
                let share = f64::from(*count) / f64::from(trials);
                let sigma = 0.5 / f64::from(trials).sqrt();
                assert!((share - 0.5).abs() < 6.0 * sigma, "length {len}: output bit {bit} flips {share} of the time");
            }
        }
    }

    /// The expected values come from `tests/vectors/rendezvous.py`.
    #[test]
    fn hashes_of_bytes_are_frozen() {
        let recorded: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/rendezvous.json")).unwrap();
        let hashes = recorded["hashes"].as_object().unwrap();
        assert_eq!(hashes.len(), 44);
        for (key, hash) in hashes {
            assert_eq!(hash, &hash_bytes(key.as_bytes()).to_string(), "{key:?}");
        }
    }

    #[test]
    fn keys_that_differ_in_length_or_by_one_hash_differently() {
        let mut seen = std::collections::HashSet::new();
        for len in 0..100 {
            assert!(seen.insert(hash_bytes(&vec![0; len])), "zeros of length {len}");
        }
        for i in 1..100_000_u32 {
            assert!(
                seen.insert(hash_bytes(&i.to_be_bytes())) && seen.insert(hash_bytes(format!("user-{i}").as_bytes()))
            );
        }
    }

    #[test]
    fn mixer_matches_splitmix64() {
        // First outputs of SplitMix64 seeded with 0, as in Vigna's reference implementation.
        let outputs: Vec<u64> = (1..=3_u64).map(|i| mix64(i.wrapping_mul(GOLDEN))).collect();
        assert_eq!(outputs, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }
}
