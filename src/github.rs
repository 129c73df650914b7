//! The GitHub port on `reqwest`.
//!
//! In layers, each of which names only those before it: `jwt` and `rate_limit`; `request`, `response`; `error_kind` (what
//! an error means), `messages` (what people read about it), `errors` (what the port returns); `session` (what is
//! remembered of a credential); `client` sends, `auth` authenticates, `runners` implements the port. `scale_sets`
//! implements the other one, of the service behind GitHub's API that knows runner scale sets.
//!
//! What it must never do:
//! - decide whether a runner may be deleted;
//! - repeat a request whose outcome is unknown, unless repeating it is harmless;
//! - put a token, a signature or a private key into an error, a log line or a `Debug` output;
//! - follow a redirect or a next page to another host, to which the token would be sent. Within the host, reads and
//!   deletions follow redirects: GitHub responds with one for a repository that was renamed or transferred.

mod auth;
mod client;
mod error_kind;
mod errors;
mod jwt;
mod messages;
mod rate_limit;
mod registration;
mod request;
mod response;
mod runners;
mod scale_sets;
mod session;

pub use client::GitHubClient;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
