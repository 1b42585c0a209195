//! Random choices, all of them from the seed.

use homing::rng::SeededEntropy;

pub struct Dice(SeededEntropy);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub fn draw(&self) -> u64 {
        self.0.draw()
    }

    /// Uniform in (0, 1).
    pub fn uniform(&self) -> f64 {
        ((self.draw() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    pub fn chance(&self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Uniform in `0..count`.
    pub fn below(&self, count: usize) -> usize {
        ((u128::from(self.draw()) * count as u128) >> 64) as usize
    }

    /// Uniform from `least` to `most`, both included.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below((most - least + 1) as usize) as u64
    }

    pub fn exponential(&self, mean: u64) -> u64 {
        (-self.uniform().ln() * mean as f64) as u64
    }

    pub fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
