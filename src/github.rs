//! The GitHub port on `reqwest`.
//!
//! In reading order: `runners` implements the port, `client` sends one request, `credentials` and `app` sign in,
//! `pace` and `lanes` keep below GitHub's limits, `answer` is what comes back, `refusals` and `sentences` turn a no
//! into a class and into the sentence that helps.
//!
//! What it must never do:
//! - decide whether a runner may go: it asks GitHub what the caller tells it to;
//! - repeat a request whose outcome is unclear, unless repeating it is harmless;
//! - put a token, a signature or a private key into an error, a log line or a `Debug` output;
//! - follow a redirect or a next page to another host, where the token would go along. Within the host, reads and
//!   deletions follow redirects: GitHub answers so for a repository that was renamed or transferred.

mod answer;
mod app;
mod client;
mod credentials;
mod lanes;
mod pace;
mod refusals;
mod runners;
mod sentences;

pub use client::GitHubClient;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
