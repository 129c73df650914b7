//! Formats of names, paths and ARNs. Only what a service would certainly reject is invalid here; the services decide
//! about the rest.

/// ASCII letters, digits and the characters of `others`, at most `chars_max` of them.
pub(super) fn is_name(text: &str, others: &str, chars_max: usize) -> bool {
    !text.is_empty() && text.len() <= chars_max && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// An ARN of a service whose resource begins with `resource`: `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE…`.
pub(super) fn is_arn(text: &str, service: &str, resource: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let mut part = || parts.next().unwrap_or_default();
    let is_prefix = part() == "arn" && part().starts_with("aws") && part() == service;
    let _region = part();
    let account = part();
    let rest = part().strip_prefix(resource).unwrap_or_default();
    is_prefix && account.chars().all(|c| c.is_ascii_digit()) && !rest.is_empty() && !has_space(text)
}

/// An IAM role's ARN.
pub(super) fn is_role_arn(text: &str) -> bool {
    is_arn(text, "iam", "role/")
}

/// A Secrets Manager secret's ARN.
pub(super) fn is_secret_arn(text: &str) -> bool {
    is_arn(text, "secretsmanager", "secret:")
}

/// Whether such an ARN ends with the secret's name, or goes on with the three parts that ECS reads behind it:
/// `:JSON-KEY:STAGE:VERSION-ID`, each of which may be empty.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>
pub(super) fn is_whole_reference(secret_arn: &str) -> bool {
    matches!(secret_arn.split(':').count(), 7 | 10)
}

/// A Secrets Manager secret as a whole, by its ARN or, in the same account and Region, by its name.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RepositoryCredentials.html>,
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
pub(super) fn is_whole_secret(text: &str) -> bool {
    let is_named = is_name(text, "/_+=.@-", 512);
    is_named || (is_secret_arn(text) && text.split(':').count() == 7)
}

/// A Parameter Store parameter's name or ARN.
///
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html>
pub(super) fn is_parameter(text: &str) -> bool {
    // A name with a slash in it is a hierarchy, and that begins with one.
    let is_qualified = !text.contains('/') || text.starts_with('/');
    is_arn(text, "ssm", "parameter/") || (is_name(text, "_.-/", 1_011) && is_qualified)
}

/// White space or a control character anywhere.
pub(super) fn has_space(text: &str) -> bool {
    text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// A hyphenated AWS id such as `subnet-0a1b2c3d`.
pub(super) fn is_aws_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).is_some_and(|id| is_name(id, "", 40))
}

/// A variable's name that every shell can hold.
pub(super) fn is_variable(name: &str) -> bool {
    is_name(name, "_", 255) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A name without its spelling: the image's `RUNNER_GROUP` and our `RunnerGroup` are the same.
pub(super) fn normalize(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
