//! What the release build must be told.

use crate::repository::text;

/// cargo-lambda adds `panic = "abort"` to a release profile that does not say otherwise. Then a panic ends the process
/// before it can answer, and CloudFormation waits an hour.
///
/// <https://www.cargo-lambda.info/guide/release-optimizations.html>
#[test]
fn a_panic_unwinds_in_the_release_build() {
    let manifest = text("Cargo.toml");
    let profile = manifest.split("\n[profile.release]\n").nth(1).expect("Cargo.toml has a release profile");
    let profile = profile.split("\n[").next().unwrap();
    assert!(profile.lines().any(|line| line == r#"panic = "unwind""#), "{profile}");
}
