//! A Secrets Manager ARN as ECS takes it for a container secret:
//! `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-6RANDOM[:JSON-KEY[:STAGE[:VERSION-ID]]]`.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>

/// Characters that Secrets Manager appends to a name in its ARN, behind a hyphen.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen>
const SUFFIX_CHARS: usize = 6;

/// The parts of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecretRef<'arn> {
    arn: &'arn str,
    name: &'arn str,
    json_key: &'arn str,
    stage: &'arn str,
    version_id: &'arn str,
}

impl<'arn> SecretRef<'arn> {
    /// `None` if it is no secret's ARN.
    pub(super) fn parse(text: &'arn str) -> Option<Self> {
        let mut parts = text.split(':');
        // arn, partition, secretsmanager, region, account
        let is_arn = parts.next() == Some("arn") && parts.nth(1) == Some("secretsmanager");
        let is_secret = parts.nth(2) == Some("secret");
        let name = parts.next().filter(|name| !name.is_empty())?;
        let [json_key, stage, version_id] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let behind_name: usize = text.split(':').skip(7).map(|part| part.len().saturating_add(1)).sum();
        let arn = text.get(..text.len().saturating_sub(behind_name))?;
        let is_whole = is_arn && is_secret && parts.next().is_none();
        is_whole.then_some(Self { arn, name, json_key, stage, version_id })
    }

    /// The secret's own ARN, without key and version.
    pub(super) fn arn(&self) -> &'arn str {
        self.arn
    }

    /// The key whose value is meant, in a secret that is a JSON object.
    pub(super) fn json_key(&self) -> Option<&'arn str> {
        (!self.json_key.is_empty()).then_some(self.json_key)
    }

    /// The same secret's key of this name, as ECS takes it.
    pub(super) fn with_key(&self, key: &str) -> String {
        format!("{}:{key}:{}:{}", self.arn, self.stage, self.version_id)
    }

    /// The parameter that stands for it.
    ///
    /// By name: a parameter's name has no room for an ARN, whose colons would begin a version. The name is what is in
    /// front of the suffix; an ARN that was cut short has none.
    pub(super) fn reference_path(&self) -> String {
        let name = match self.name.rsplit_once('-') {
            Some((name, suffix)) if is_suffix(suffix) && !name.is_empty() => name,
            _ => self.name,
        };
        let version = if self.version_id.is_empty() { self.stage } else { self.version_id };
        let colon = if version.is_empty() { "" } else { ":" };
        format!("/aws/reference/secretsmanager/{name}{colon}{version}")
    }
}

fn is_suffix(text: &str) -> bool {
    text.len() == SUFFIX_CHARS && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ci/github-token-AbC123";

    fn path(text: &str) -> String {
        SecretRef::parse(text).unwrap().reference_path()
    }

    #[test]
    fn the_name_is_taken_without_its_suffix() {
        assert_eq!(path(ARN), "/aws/reference/secretsmanager/ci/github-token");
        assert_eq!(SecretRef::parse(ARN).unwrap().arn(), ARN);
        assert_eq!(SecretRef::parse(ARN).unwrap().json_key(), None);
    }

    #[test]
    fn an_arn_that_was_cut_short_keeps_its_name() {
        assert_eq!(
            path("arn:aws:secretsmanager:eu-west-1:1:secret:github-token"),
            "/aws/reference/secretsmanager/github-token"
        );
        assert_eq!(path("arn:aws:secretsmanager:eu-west-1:1:secret:token"), "/aws/reference/secretsmanager/token");
    }

    #[test]
    fn key_stage_and_version_are_read_as_ecs_reads_them() {
        let whole = format!("{ARN}:private_key:AWSPREVIOUS:");
        let secret = SecretRef::parse(&whole).unwrap();
        assert_eq!((secret.arn(), secret.json_key()), (ARN, Some("private_key")));
        assert_eq!(secret.reference_path(), "/aws/reference/secretsmanager/ci/github-token:AWSPREVIOUS");
        assert_eq!(path(&format!("{ARN}:::0a1b")), "/aws/reference/secretsmanager/ci/github-token:0a1b");
        assert_eq!(path(&format!("{ARN}:key")), "/aws/reference/secretsmanager/ci/github-token");
    }

    #[test]
    fn anything_else_is_no_secret() {
        for text in
            ["", "token", "arn:aws:ssm:eu-west-1:1:parameter/token", "arn:aws:secretsmanager:eu-west-1:1:secret:"]
        {
            assert_eq!(SecretRef::parse(text), None, "{text}");
        }
        assert_eq!(SecretRef::parse(&format!("{ARN}:a:b:c:d")), None);
    }
}
