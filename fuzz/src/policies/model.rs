//! A naive model of a cluster: a plain list.

use homing::cluster::{ClusterError, PlanError};
use homing::{Availability, Change, UpstreamConfig};

/// The shared state of an upstream, which outlives membership changes.
#[derive(Clone, Copy)]
pub struct Cell {
    pub in_flight: u32,
    pub total: u64,
    pub serving: bool,
    pub accepting: bool,
}

/// An upstream as a member of the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct ModelUpstream {
    pub name: String,
    pub address: String,
    pub weight: u16,
    pub limit: u32,
    /// The index of its cell.
    pub cell: usize,
}

/// A membership change.
#[derive(Clone)]
pub enum Wish {
    Put(ModelUpstream),
    Remove(String),
}

impl Wish {
    pub fn change(&self) -> Change {
        match self {
            Self::Put(upstream) => Change::Put(upstream.config()),
            Self::Remove(name) => Change::Remove(name.clone()),
        }
    }
}

impl ModelUpstream {
    pub fn config(&self) -> UpstreamConfig {
        UpstreamConfig::new(&*self.name, &*self.address).weight(self.weight).max_in_flight(self.limit)
    }
}

pub struct Model {
    pub upstreams: Vec<ModelUpstream>,
    pub cells: Vec<Cell>,
    pub generation: u64,
}

impl Model {
    pub fn new(upstreams: Vec<ModelUpstream>) -> Self {
        let mut model = Self { upstreams: Vec::new(), cells: Vec::new(), generation: 1 };
        model.upstreams = upstreams.into_iter().map(|upstream| model.with_cell(upstream)).collect();
        model
    }

    pub fn cell(&self, index: usize) -> &Cell {
        &self.cells[self.upstreams[index].cell]
    }

    pub fn cell_mut(&mut self, index: usize) -> &mut Cell {
        &mut self.cells[self.upstreams[index].cell]
    }

    pub fn takes(&self, index: usize, tried: &[usize]) -> bool {
        self.cell(index).accepting && !tried.contains(&index)
    }

    pub fn has_room(&self, index: usize) -> bool {
        self.upstreams[index].limit == 0 || self.cell(index).in_flight < self.upstreams[index].limit
    }

    pub fn accepts(&self, index: usize, tried: &[usize]) -> bool {
        self.takes(index, tried) && self.has_room(index)
    }

    pub fn any_accepts(&self, tried: &[usize]) -> bool {
        (0..self.upstreams.len()).any(|index| self.accepts(index, tried))
    }

    pub fn all_accept(&self, tried: &[usize]) -> bool {
        (0..self.upstreams.len()).all(|index| self.accepts(index, tried))
    }

    pub fn set_availability(&mut self, index: usize, availability: Availability) {
        let cell = self.cell_mut(index);
        cell.serving = availability.serving;
        cell.accepting = availability.serving && availability.accepting;
    }

    /// The upstreams after these changes.
    pub fn wished(&self, wishes: &[Wish]) -> Result<Vec<ModelUpstream>, PlanError> {
        let mut upstreams = self.upstreams.clone();
        for wish in wishes {
            match wish {
                Wish::Put(new) => match upstreams.iter_mut().find(|upstream| upstream.name == new.name) {
                    Some(upstream) => *upstream = new.clone(),
                    None => upstreams.push(new.clone()),
                },
                Wish::Remove(name) => {
                    let at = upstreams.iter().position(|upstream| upstream.name == *name);
                    upstreams.remove(at.ok_or_else(|| PlanError::Unknown { name: name.clone() })?);
                }
            }
        }
        match upstreams.iter().find(|upstream| upstream.weight == 0) {
            Some(upstream) => Err(ClusterError::ZeroWeight { name: upstream.name.clone() }.into()),
            None => Ok(upstreams),
        }
    }

    /// Makes these upstreams the current ones.
    pub fn apply(&mut self, upstreams: Vec<ModelUpstream>) {
        self.upstreams = upstreams.into_iter().map(|upstream| self.with_cell(upstream)).collect();
        self.generation += 1;
    }

    /// Assigns the cell of the same name and address, or a new one.
    fn with_cell(&mut self, mut upstream: ModelUpstream) -> ModelUpstream {
        let same = self.upstreams.iter().find(|old| old.name == upstream.name && old.address == upstream.address);
        upstream.cell = same.map_or(self.cells.len(), |old| old.cell);
        if same.is_none() {
            self.cells.push(Cell { in_flight: 0, total: 0, serving: true, accepting: true });
        }
        upstream
    }
}
