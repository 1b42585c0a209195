//! The demo: instances of a small application ([`app`]), and what its buttons do at the gateway in front of it.

pub mod app;
mod roster_operator;

pub use app::Reserved;
pub use roster_operator::Desk;
