//! The two numeric pieces that placement shares: a mixer and a logarithm that is equal on every machine.

/// The odd constant of SplitMix64: 2^64 divided by the golden ratio.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Stafford's variant 13 of MurmurHash3's finalizer, as in SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every
/// input bit flips every output bit with probability close to one half.
pub(crate) const fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `-ln(u)` for `u` uniform in (0, 1), taken from the bits of `hash`: an exponential variate.
///
/// Proxies that compare such scores must agree to the bit, and `f64::ln` is whatever the platform's libm makes
/// it. This uses only additions, multiplications and divisions, which IEEE 754 rounds the same everywhere:
/// u = 2^-k · m with m in [1, 2), and ln(m) = 2·artanh((m-1)/(m+1)) by its series, to within 1e-9.
pub(crate) fn exponential(hash: u64) -> f64 {
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
    f64::from(exponent + 1) * core::f64::consts::LN_2 - 2.0 * t * series
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
    fn mixer_matches_splitmix64() {
        // First outputs of SplitMix64 seeded with 0, as in Vigna's reference implementation.
        let outputs: Vec<u64> = (1..=3_u64).map(|i| mix64(i.wrapping_mul(GOLDEN))).collect();
        assert_eq!(outputs, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }
}
