//! How GitHub is reached: where, and by which credential.

use serde::{Deserialize, Serialize};

use crate::pool::model::spec::{GitHubCredential, GitHubTarget};

/// How GitHub is reached: where, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubAccess {
    /// Where runners register.
    pub github: GitHubTarget,
    /// What lets us administer them.
    pub github_credential: GitHubCredential,
}
