//! The GitHub port on `reqwest`.
