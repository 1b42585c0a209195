//! What a cluster is, as a plain list.

use homing::cluster::{ClusterError, PlanError};
use homing::{Change, Health, UpstreamConfig};

/// An upstream's shared state.
#[derive(Clone, Copy)]
pub struct Cell {
    pub in_flight: u32,
    pub total: u64,
    pub serving: bool,
    pub accepting: bool,
}

/// An upstream as the cluster has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seat {
    pub name: String,
    pub address: String,
    pub weight: u16,
    pub limit: u32,
    /// Which of the cells is its.
    pub cell: usize,
}

/// A change as the model understands it.
#[derive(Clone)]
pub enum Wish {
    Put(Seat),
    Remove(String),
}

impl Wish {
    pub fn change(&self) -> Change {
        match self {
            Self::Put(seat) => Change::Put(seat.config()),
            Self::Remove(name) => Change::Remove(name.clone()),
        }
    }
}

impl Seat {
    pub fn config(&self) -> UpstreamConfig {
        UpstreamConfig::new(&*self.name, &*self.address).weight(self.weight).max_in_flight(self.limit)
    }
}

pub struct Model {
    pub seats: Vec<Seat>,
    pub cells: Vec<Cell>,
    pub generation: u64,
}

impl Model {
    pub fn new(seats: Vec<Seat>) -> Self {
        let mut model = Self { seats: Vec::new(), cells: Vec::new(), generation: 1 };
        model.seats = seats.into_iter().map(|seat| model.seated(seat)).collect();
        model
    }

    pub fn cell(&self, index: usize) -> &Cell {
        &self.cells[self.seats[index].cell]
    }

    pub fn cell_mut(&mut self, index: usize) -> &mut Cell {
        &mut self.cells[self.seats[index].cell]
    }

    pub fn takes(&self, index: usize, tried: &[usize]) -> bool {
        self.cell(index).accepting && !tried.contains(&index)
    }

    pub fn has_room(&self, index: usize) -> bool {
        self.seats[index].limit == 0 || self.cell(index).in_flight < self.seats[index].limit
    }

    pub fn accepts(&self, index: usize, tried: &[usize]) -> bool {
        self.takes(index, tried) && self.has_room(index)
    }

    pub fn any_accepts(&self, tried: &[usize]) -> bool {
        (0..self.seats.len()).any(|index| self.accepts(index, tried))
    }

    pub fn all_accept(&self, tried: &[usize]) -> bool {
        (0..self.seats.len()).all(|index| self.accepts(index, tried))
    }

    pub fn set_health(&mut self, index: usize, health: Health) {
        let cell = self.cell_mut(index);
        cell.serving = health.serving;
        cell.accepting = health.serving && health.accepting;
    }

    /// The seats after these wishes.
    pub fn wished(&self, wishes: &[Wish]) -> Result<Vec<Seat>, PlanError> {
        let mut seats = self.seats.clone();
        for wish in wishes {
            match wish {
                Wish::Put(new) => match seats.iter_mut().find(|seat| seat.name == new.name) {
                    Some(seat) => *seat = new.clone(),
                    None => seats.push(new.clone()),
                },
                Wish::Remove(name) => {
                    let at = seats.iter().position(|seat| seat.name == *name);
                    seats.remove(at.ok_or_else(|| PlanError::Unknown { name: name.clone() })?);
                }
            }
        }
        if seats.is_empty() {
            return Err(ClusterError::Empty.into());
        }
        match seats.iter().find(|seat| seat.weight == 0) {
            Some(seat) => Err(ClusterError::ZeroWeight { name: seat.name.clone() }.into()),
            None => Ok(seats),
        }
    }

    /// Puts the wished seats in force.
    pub fn apply(&mut self, seats: Vec<Seat>) {
        self.seats = seats.into_iter().map(|seat| self.seated(seat)).collect();
        self.generation += 1;
    }

    /// With the cell that the same name at the same address has, or a new one.
    fn seated(&mut self, mut seat: Seat) -> Seat {
        let same = self.seats.iter().find(|old| old.name == seat.name && old.address == seat.address);
        seat.cell = same.map_or(self.cells.len(), |old| old.cell);
        if same.is_none() {
            self.cells.push(Cell { in_flight: 0, total: 0, serving: true, accepting: true });
        }
        seat
    }
}
