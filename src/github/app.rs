//! A GitHub App's signature: the JSON Web Token with which it signs in.
//!
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;

/// GitHub's advice against a clock that runs ahead.
const ISSUED_BEFORE_NOW_SECS: u64 = 60;

/// GitHub allows 10 minutes from its own now, and refuses a clock that runs ahead by a second at exactly that.
const EXPIRES_AFTER_NOW_SECS: u64 = 9 * 60;

/// `{"alg":"RS256","typ":"JWT"}`, encoded.
const HEADER: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

/// Why a private key cannot sign. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// No PEM section of a private key was found.
    #[error("no `-----BEGIN RSA PRIVATE KEY-----` section was found in it")]
    NoPem,
    /// A private key of another kind.
    #[error("it is a key of another kind than RSA")]
    NotRsa,
    /// The section does not hold what its first line says.
    #[error("it is damaged, or shorter than 2048 bits")]
    Damaged,
    /// The system gave no randomness for blinding.
    #[error("the signature failed")]
    Signing,
}

/// Signs in as the App with this id: a token for ten minutes at most.
///
/// # Errors
/// When the key cannot sign.
pub(super) fn sign(app_id: &str, private_key: &Secret, now: Timestamp) -> Result<Secret, KeyError> {
    let now_secs = now.epoch_millis() / 1000;
    let claims = serde_json::json!({
        "iat": now_secs.saturating_sub(ISSUED_BEFORE_NOW_SECS),
        "exp": now_secs.saturating_add(EXPIRES_AFTER_NOW_SECS),
        "iss": app_id,
    });
    let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = key_pair(private_key)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| KeyError::Signing)?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Reads PKCS#1, which GitHub gives out, and PKCS#8, into which tools convert it. A parameter that was typed on one
/// line has its line ends written as `\n`, which the runner image accepts as well.
fn key_pair(private_key: &Secret) -> Result<RsaKeyPair, KeyError> {
    let pem = private_key.expose().replace("\\r", "").replace("\\n", "\n");
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPem)? {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| KeyError::Damaged),
        // Unlike ring, tell a key of another algorithm from one that is damaged: the first is a mix-up of files.
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|rejected| {
            if rejected.to_string() == "WrongAlgorithm" { KeyError::NotRsa } else { KeyError::Damaged }
        }),
        PrivateKeyDer::Sec1(_) | _ => Err(KeyError::NotRsa),
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;
    use crate::github::testing::{TEST_ONLY_PKCS1, TEST_ONLY_PKCS8};

    fn claims_of(jwt: &str) -> Value {
        let claims = jwt.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    #[test]
    fn the_signature_verifies_with_the_public_key_and_carries_github_s_three_claims() {
        let now = Timestamp::from_epoch_millis(1_700_000_000_999);
        for pem in [TEST_ONLY_PKCS1.to_owned(), TEST_ONLY_PKCS8.to_owned(), TEST_ONLY_PKCS1.replace('\n', "\\n")] {
            let private_key = Secret::new(pem);
            let jwt = sign("1234", &private_key, now).unwrap();
            let (signed, signature) = jwt.expose().rsplit_once('.').unwrap();
            let key = key_pair(&private_key).unwrap();
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
                .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
                .unwrap();
            let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(HEADER).unwrap()).unwrap();
            assert_eq!(header, serde_json::json!({"alg": "RS256", "typ": "JWT"}));
            assert_eq!(
                claims_of(jwt.expose()),
                serde_json::json!({"iat": 1_699_999_940, "exp": 1_700_000_540, "iss": "1234"})
            );
        }
    }

    #[test]
    fn a_key_that_cannot_sign_says_why_and_nothing_of_itself() {
        let now = Timestamp::from_epoch_millis(0);
        let ec = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
                  OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
                  1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n";
        let cut = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKC\n-----END RSA PRIVATE KEY-----\n";
        for (pem, expected) in
            [("", KeyError::NoPem), ("planted", KeyError::NoPem), (ec, KeyError::NotRsa), (cut, KeyError::Damaged)]
        {
            let error = sign("1", &Secret::new(pem), now).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("planted"));
        }
    }
}
