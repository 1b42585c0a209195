//! The command line of the program `homing`.

pub mod status;
