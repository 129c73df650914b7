//! How the pool accesses GitHub: the target and the credential.

use serde::{Deserialize, Serialize};

use crate::pool::model::spec::{GitHubCredential, GitHubTarget};

/// The GitHub target of a pool and the credential for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubAccess {
    /// Where runners register.
    pub github: GitHubTarget,
    /// The credential that administers them.
    pub github_credential: GitHubCredential,
}
