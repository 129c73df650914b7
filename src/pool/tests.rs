//! Decisions over observations, tested as values. The folders mirror the sources.

mod goldens;
mod laws;
mod model;
mod policy;
mod support;
