//! Ways of placing keys on upstreams, Homing's and other crates', behind one trait: the same keys, the same upstreams,
//! each crate as its documentation says to use it.
//!
//! `benches/peers.rs` asks what they cost, `examples/placement_quality.rs` how well they place. A way of placing is a
//! file here with its [`Placement`], and a line in [`peers`].
//!
//! To build it takes cmake and a C compiler, for the zlib-ng that pingora links.

mod anchor;
mod conhash;
mod flip;
mod hashring;
mod hrw;
mod maglev;
mod pingora;
mod tower;

pub mod ours;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// What is placed.
pub type Key = [u8; 16];

/// How many points an upstream has on the rings of crates that leave it to their user: as many as on nginx's.
pub const POINTS: u32 = 160;

/// A way of placing keys on upstreams, which have numbers.
pub trait Placement {
    /// What it answers with: whatever its user would go on with.
    type Answer;

    /// The most upstreams it can be had with here.
    const MOST: usize = 10_000;

    /// Whether a key alone decides.
    const KEYED: bool = true;

    /// Whether it looks at every upstream for each key.
    const SCANS: bool = false;

    /// Whether the upstream of the highest number is the only one that can go.
    const LAST_ONLY: bool = false;

    /// Where `key` goes.
    fn place(&mut self, key: &Key) -> Self::Answer;

    /// The number of the upstream that it answered with.
    fn number(&self, answer: &Self::Answer) -> usize;

    /// Takes in the upstream of this number.
    fn add(&mut self, number: usize);

    /// Takes the upstream of this number out.
    fn remove(&mut self, number: usize);
}

/// What is done with every way of placing.
pub trait Visitor {
    /// Called for each with its name and what makes it for the upstreams of some numbers.
    fn visit<P: Placement>(&mut self, name: &str, build: impl Fn(Range<usize>) -> P);
}

/// All of other crates.
pub fn peers(visitor: &mut impl Visitor) {
    visitor.visit("pingora-load-balancing, ketama", pingora::Pool::<pingora::Ketama>::new);
    visitor.visit("pingora-load-balancing, FNV", pingora::Pool::<pingora::Fnv>::new);
    visitor.visit("pingora-load-balancing, round robin", pingora::Pool::<pingora::RoundRobin>::new);
    visitor.visit("pingora-load-balancing, random", pingora::Pool::<pingora::Random>::new);
    visitor.visit("pingora-ketama", pingora::Ring::new);
    visitor.visit("tower, p2c", tower::P2c::new);
    visitor.visit("hashring", hashring::Ring::new);
    visitor.visit("conhash", conhash::Ring::new);
    visitor.visit("maglev", maglev::Table::new);
    visitor.visit("anchorhash", anchor::Anchor::new);
    visitor.visit("fliphash", flip::Flip::new);
    visitor.visit("hrw-hash", hrw::Scan::new);
}

/// The key of this number, the same in every run. Numbers are hashed (the finalizer of MurmurHash3, 64 bits), so that
/// keys have no order that a policy could profit from.
#[must_use]
pub fn key(number: u64) -> Key {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    };
    let (low, high) = (mix(2 * number + 1), mix(2 * number + 2));
    ((u128::from(high) << 64) | u128::from(low)).to_le_bytes()
}

/// Where the upstream of this number, below 2^24, listens.
#[must_use]
pub fn address(number: usize) -> SocketAddr {
    (Ipv4Addr::from_bits((10 << 24) | number as u32), 8080).into()
}

/// The number of the upstream that listens there.
#[must_use]
pub fn number(address: &SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & 0x00ff_ffff) as usize,
        IpAddr::V6(_) => usize::MAX,
    }
}
