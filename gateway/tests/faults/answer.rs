//! The body of a response is a function of the request's path.

use std::hash::{DefaultHasher, Hash, Hasher};

/// 64 to 4159 bytes, different for each path.
pub fn body_of(path: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let seed = hasher.finish();
    let mut state = seed as u32;
    let mut byte = || {
        // Numerical Recipes' linear congruential generator; its top byte is the good one.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..64 + seed % 4096).map(|_| byte()).collect()
}
