//! Large bodies of which every byte is checked without buffering them.

/// A prime period, so that a piece that is lost, repeated or moved by any power of two is noticed.
const PERIOD: usize = 65_521;

pub const MIB: usize = 1 << 20;

/// An endless sequence of bytes, written or checked from its beginning.
pub struct Pattern {
    block: Vec<u8>,
    offset: usize,
    fault: Option<u64>,
    length: u64,
}

impl Pattern {
    pub fn new() -> Self {
        let mut state = 1_u32;
        let mut byte = || {
            // Numerical Recipes' linear congruential generator; its top byte is the good one.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let period: Vec<u8> = (0..PERIOD).map(|_| byte()).collect();
        // Twice the period: any piece of up to one period is contiguous from any offset.
        Self { block: period.repeat(2), offset: 0, fault: None, length: 0 }
    }

    /// The next bytes, at most one period of them.
    pub fn next(&mut self, most: usize) -> &[u8] {
        let length = most.min(PERIOD);
        let start = self.offset;
        self.offset = (start + length) % PERIOD;
        self.length += length as u64;
        &self.block[start..start + length]
    }

    /// Compares what has arrived with what had to.
    pub fn check(&mut self, mut arrived: &[u8]) {
        while !arrived.is_empty() {
            let before = self.length;
            let expected = self.next(arrived.len());
            let (piece, rest) = arrived.split_at(expected.len());
            if piece != expected {
                self.fault.get_or_insert(before);
            }
            arrived = rest;
        }
    }

    /// The number of bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The offset of the first piece that differs.
    pub fn fault(&self) -> Option<u64> {
        self.fault
    }
}

#[test]
fn a_lost_byte_is_noticed() {
    let mut sender = Pattern::new();
    let sent: Vec<u8> = (0..10).flat_map(|_| sender.next(50_000).to_vec()).collect();

    let mut whole = Pattern::new();
    whole.check(&sent);
    assert_eq!((whole.length(), whole.fault()), (500_000, None));

    let mut lacking = Pattern::new();
    lacking.check(&sent[..300_000]);
    lacking.check(&sent[300_001..]);
    assert!(lacking.fault().is_some());
}
