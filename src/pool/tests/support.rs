//! What the tests build on: values of a pool, and a model of AWS and GitHub that takes steps.

mod fixtures;
mod model;

pub(super) use fixtures::*;
pub(super) use model::{Model, built};
