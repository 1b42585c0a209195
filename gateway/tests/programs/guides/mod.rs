//! The guides in `docs/` for those who move in: every configuration in them is taken from the page as it stands and run, by the
//! program that it is for, before instances that keep sessions in memory. Addresses and paths alone are put in their place.
//!
//! Who has a session is asked for it before, after and on the way back; whether it is still there, the instances say. By
//! other settings than a guide's the same visitors do lose their sessions.

mod guest;
mod guide;
mod haproxy;
mod instance;
mod nginx;
mod packaging;
mod site;
mod wisej;
