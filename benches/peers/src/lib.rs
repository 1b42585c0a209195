//! Placement algorithms of Homing and of other crates behind one trait: the same keys, the same upstreams, each crate
//! used as its documentation says.
//!
//! `benches/peers.rs` measures their cost, `examples/placement_quality.rs` their quality. To add one, write a file here
//! with its [`Placement`] and a line in [`peers`].
//!
//! Building it needs cmake and a C compiler, for the zlib-ng that pingora links.

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

/// A key to place.
pub type Key = [u8; 16];

/// The points of an upstream on the rings of crates that leave the number to the user: as many as in nginx.
pub const POINTS: u32 = 160;

/// A placement algorithm over numbered upstreams.
pub trait Placement {
    /// The result of a placement, as a user of the crate gets it.
    type Answer;

    /// The most upstreams with which it is measured.
    const MOST: usize = 10_000;

    /// Whether the key alone determines the placement.
    const KEYED: bool = true;

    /// Whether it visits every upstream for each key.
    const SCANS: bool = false;

    /// Whether only the upstream of the highest number can be removed.
    const LAST_ONLY: bool = false;

    /// Places `key`.
    fn place(&mut self, key: &Key) -> Self::Answer;

    /// The number of the upstream in `answer`.
    fn number(&self, answer: &Self::Answer) -> usize;

    /// Adds the upstream of this number.
    fn add(&mut self, number: usize);

    /// Removes the upstream of this number.
    fn remove(&mut self, number: usize);
}

/// An operation on every placement algorithm.
pub trait Visitor {
    /// Called for each algorithm with its name and its constructor from a range of upstream numbers.
    fn visit<P: Placement>(&mut self, name: &str, build: impl Fn(Range<usize>) -> P);
}

/// The algorithms of other crates.
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
/// keys have no order that favours a policy.
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

/// The address of the upstream of this number, which is below 2^24.
#[must_use]
pub fn address(number: usize) -> SocketAddr {
    (Ipv4Addr::from_bits((10 << 24) | number as u32), 8080).into()
}

/// The number of the upstream with this address.
#[must_use]
pub fn number(address: &SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & 0x00ff_ffff) as usize,
        IpAddr::V6(_) => usize::MAX,
    }
}
