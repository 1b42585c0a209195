//! Health checking: probes upstreams and lets time pass for their health.

pub(crate) mod checker;
mod probe;
