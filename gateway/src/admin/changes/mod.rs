//! What the administration changes, each change with its line in the audit log.

pub(crate) mod audit;
pub(crate) mod instances;
pub(crate) mod keys;
pub(crate) mod operator;
