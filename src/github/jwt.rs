//! JSON Web Tokens: the one with which a GitHub App authenticates, and when one of GitHub's expires.
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

/// The object identifier `rsaEncryption` (1.2.840.113549.1.1.1) in DER: <https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1>.
const RSA_ENCRYPTION: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Why a private key cannot sign. Holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// No PEM section of a private key.
    #[error("it has no `-----BEGIN RSA PRIVATE KEY-----` section")]
    NoPem,
    /// A private key of another kind.
    #[error("it is not an RSA key")]
    NotRsa,
    /// The section is not what its first line says.
    #[error("it is damaged, or shorter than 2048 bits")]
    Damaged,
    /// The system gave no randomness for blinding.
    #[error("signing failed")]
    Signing,
}

/// A token of the App with this id, for less than ten minutes.
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

/// When a token expires, which is GitHub's to verify and not ours; `None` if it does not say.
/// <https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4>
pub(super) fn expires_at(token: &Secret) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = token.expose().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp::from_epoch_millis(claims.exp.checked_mul(1000)?))
}

/// Reads PKCS#1, which GitHub gives out, and PKCS#8, to which tools convert it. A parameter that was typed on one line
/// has its line breaks written as `\n`, which the runner image accepts too.
fn key_pair(private_key: &Secret) -> Result<RsaKeyPair, KeyError> {
    let pem = private_key.expose().replace("\\r", "").replace("\\n", "\n");
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPem)? {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| KeyError::Damaged),
        // A key of another algorithm is a mix-up of files, and has other advice than one that is damaged.
        PrivateKeyDer::Pkcs8(der) => {
            let is_rsa = der.secret_pkcs8_der().windows(RSA_ENCRYPTION.len()).any(|bytes| bytes == RSA_ENCRYPTION);
            let otherwise = if is_rsa { KeyError::Damaged } else { KeyError::NotRsa };
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| otherwise)
        }
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
    fn app_jwt_verifies_with_the_public_key_and_has_iat_exp_and_iss() {
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
    fn exp_of_a_token_is_read_without_its_signature_and_a_token_without_one_has_none() {
        let token = |claims: &str| Secret::new(format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims)));
        let expected = Some(Timestamp::from_epoch_millis(1_767_229_200_000));
        assert_eq!(expires_at(&token(r#"{"exp":1767229200,"iat":1}"#)), expected);
        for claims in ["{}", "no JSON", r#"{"exp":"soon"}"#, r#"{"exp":18446744073709551615}"#] {
            assert_eq!(expires_at(&token(claims)), None, "{claims}");
        }
        assert_eq!(expires_at(&Secret::new("opaque")), None);
        assert_eq!(expires_at(&Secret::new("a.%%%.b")), None);
    }

    #[test]
    fn app_private_key_that_cannot_sign_is_diagnosed_and_not_quoted() {
        let now = Timestamp::from_epoch_millis(0);
        let ec = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
                  OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
                  1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n";
        let cut = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKC\n-----END RSA PRIVATE KEY-----\n";
        let cut_pkcs8 = TEST_ONLY_PKCS8.lines().enumerate().filter(|(n, _)| !(2..20).contains(n)).map(|(_, line)| line);
        let cut_pkcs8 = cut_pkcs8.collect::<Vec<_>>().join("\n");
        for (pem, expected) in [
            ("", KeyError::NoPem),
            ("planted", KeyError::NoPem),
            (ec, KeyError::NotRsa),
            (cut, KeyError::Damaged),
            (&cut_pkcs8, KeyError::Damaged),
        ] {
            let error = sign("1", &Secret::new(pem), now).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("planted"));
        }
    }
}
