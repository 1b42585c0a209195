//! Session state as applications keep it: a map in memory, lost with the process.

use std::collections::HashMap;

use rand::TryRng;
use rand::rngs::{SysError, SysRng};

/// Characters of an id: 128 bits in hexadecimal.
const ID_LEN: usize = 32;

/// Sessions in the younger half of the store: at most twice as many are kept.
const HALF: usize = 50_000;

/// Visits by session id. At capacity the sessions unused for longest are forgotten.
#[derive(Default)]
pub(super) struct Sessions {
    young: HashMap<String, u64>,
    old: HashMap<String, u64>,
}

impl Sessions {
    /// Counts a visit. An id that this store did not issue is replaced by a new one, against session fixation.
    pub(super) fn visit(&mut self, id: Option<&str>) -> Result<(String, u64), SysError> {
        let known = id.and_then(|id| self.young.remove_entry(id).or_else(|| self.old.remove_entry(id)));
        let (id, visits) = match known {
            Some((id, visits)) => (id, visits + 1),
            None => (random_id()?, 1),
        };
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id.clone(), visits);
        Ok((id, visits))
    }

    /// Visits of a session so far; 0 for one that is not here.
    pub(super) fn visits(&self, id: Option<&str>) -> u64 {
        id.and_then(|id| self.young.get(id).or_else(|| self.old.get(id))).copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Bytes that its tables and ids take; what the allocator adds is not counted.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.young.capacity() + self.old.capacity();
        entries * size_of::<(String, u64)>() + self.len() * ID_LEN
    }
}

fn random_id() -> Result<String, SysError> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(format!("{:0ID_LEN$x}", u128::from_ne_bytes(bytes)))
}
