//! The core: what a pool is, what is observed of it, and what to do next.
//!
//! No async, no I/O, no clock, no randomness, no logging, and no dependency on any other module.

pub mod model;
pub mod policy;

#[cfg(test)]
mod tests;
