//! The version of this function, as Cargo.toml has it: in the log, in its responses, and in the header by which AWS and
//! GitHub know their caller.

/// Such as `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What GitHub requires of every caller.
/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// What AWS's own header ends with. A slash is none of the characters that the SDKs allow.
pub const AWS_APP_NAME: &str = concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"));
