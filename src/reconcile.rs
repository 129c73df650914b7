//! The loop: observe, let the pool decide, apply, look again.

pub mod ports;
