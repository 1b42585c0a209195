//! The guides in `docs/`: every configuration is read from the page and run by the program that it is for, in front of
//! instances that keep sessions in memory. Only addresses and paths are replaced.
//!
//! Visitors with sessions return before, after and on the way back, and the instances report whether a session is still
//! there. With other settings than a guide's the same visitors lose their sessions.

mod guest;
mod guide;
mod haproxy;
mod instance;
mod nginx;
mod packaging;
mod site;
mod wisej;
