//! CRC-32 as zlib, nginx and memcached clients compute it: reflected polynomial 0xEDB88320.
//!
//! Eight bytes a step, by Intel's slicing-by-8 (Kounavis and Berry, ISCC 2005): eight look-ups that do not wait for
//! each other, where byte by byte each waits for the one before.

/// `TABLES[n][b]` is what byte `b` followed by `n` zero bytes adds.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[zeros - 1][byte];
            tables[zeros][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// A checksum under way. A copy may go on with other bytes.
#[derive(Clone, Copy)]
pub(super) struct Crc32(u32);

impl Crc32 {
    pub(super) const fn new() -> Self {
        Self(!0)
    }

    pub(super) fn with(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        let (steps, rest) = bytes.as_chunks::<8>();
        for step in steps {
            let word = u64::from_le_bytes(*step) ^ u64::from(crc);
            crc = word.to_le_bytes().iter().zip(TABLES.iter().rev()).fold(0, |crc, (b, t)| crc ^ t[usize::from(*b)]);
        }
        Self(rest.iter().fold(crc, |crc, byte| (crc >> 8) ^ TABLES[0][usize::from(crc as u8 ^ byte)]))
    }

    /// With the four bytes of `word`, the lowest first.
    pub(super) const fn with_word(self, word: u32) -> Self {
        let [a, b, c, d] = (self.0 ^ word).to_le_bytes();
        Self(TABLES[3][a as usize] ^ TABLES[2][b as usize] ^ TABLES[1][c as usize] ^ TABLES[0][d as usize])
    }

    pub(super) const fn value(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bit at a time, as the polynomial says.
    fn naive(bytes: &[u8]) -> u32 {
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit & 1)));
        !bits.fold(!0, |crc, bit| (crc >> 1) ^ if (crc ^ bit) & 1 == 1 { 0xedb8_8320 } else { 0 })
    }

    #[test]
    fn the_check_value_is_the_standard_one() {
        assert_eq!(Crc32::new().with(b"123456789").value(), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn a_word_is_its_four_bytes(bytes: Vec<u8>, word: u32) {
            let crc = Crc32::new().with(&bytes);
            prop_assert_eq!(crc.with_word(word).value(), crc.with(&word.to_le_bytes()).value());
        }

        #[test]
        fn whole_or_in_parts_it_is_the_polynomial_s(bytes: Vec<u8>, at: prop::sample::Index) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(Crc32::new().with(&bytes).value(), naive(&bytes));
            prop_assert_eq!(Crc32::new().with(first).with(second).value(), naive(&bytes));
        }
    }
}
