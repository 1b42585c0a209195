//! Traefik: `sticky.cookie`.

use super::hex;
use sha2::{Digest, Sha256};

pub(super) fn value(address: &str) -> String {
    let digest = Sha256::new().chain_update("http://").chain_update(address).finalize();
    hex(&digest[..8])
}
