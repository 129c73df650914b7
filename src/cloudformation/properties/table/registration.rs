//! Where the runners register, and with which credentials.

use super::super::defaults::{WithDefault, WithDerivedDefault};
use super::super::github_urls::{github_host, is_account_name, repository};
use super::super::property::{Property, Required, Row, Update};
use super::super::scalars::{Boolean, Choice, Parameter, Text};
use crate::pool::model::spec::RegisterBy;

const ONE_TARGET: Required = Required::Conditional("Specify exactly one of `OrgName`, `RepoUrl` and `EnterpriseName`.");
const ONE_CREDENTIAL: Required = Required::Conditional(
    "Specify `AccessTokenParameter`, or `AppId` with `AppPrivateKeyParameter`, or at least `RunnerTokenParameter`.",
);

pub(in super::super) static ORG_NAME: Property<Text> = Property {
    name: "OrgName",
    accepts: Text { expected: "only the name of the organization, such as acme", is_valid: is_account_name },
    required: ONE_TARGET,
    update: Update::Replacement,
    description: "The GitHub organization in which the runners register.",
    notes: "",
};

pub(in super::super) static REPO_URL: Property<Text> = Property {
    name: "RepoUrl",
    accepts: Text {
        expected: "the URL of the repository, https://HOST/OWNER/REPO",
        is_valid: |text| repository(text).is_some(),
    },
    required: ONE_TARGET,
    update: Update::Replacement,
    description: "The URL of the repository in which the runners register, such as https://github.com/acme/app.",
    notes: "",
};

pub(in super::super) static ENTERPRISE_NAME: Property<Text> = Property {
    name: "EnterpriseName",
    accepts: Text { expected: "the name of the enterprise as in its URL, such as acme", is_valid: is_account_name },
    required: ONE_TARGET,
    update: Update::Replacement,
    description: "The GitHub enterprise in which the runners register, by its name in the enterprise's URL.",
    notes: "GitHub lets no GitHub App and no fine-grained token administer the runners of an enterprise: specify \
            `AccessTokenParameter` with a classic token that has the scope `manage_runners:enterprise`.",
};

pub(in super::super) static ORG_RUNNER: Property<WithDerivedDefault<Boolean>> = Property {
    name: "OrgRunner",
    accepts: WithDerivedDefault(Boolean, "`true` with `OrgName`, else `false`"),
    required: Required::No,
    update: Update::NoInterruption,
    description: "Whether the runners register in an organization, for templates that spell out every variable of the \
                  image.",
    notes: "`true` requires `OrgName`, and `false` excludes it.",
};

pub(in super::super) static GITHUB_URL: Property<WithDefault<Text>> = Property {
    name: "GitHubUrl",
    accepts: WithDefault(
        Text {
            expected: "the URL of GitHub's web site (not of its API), https://HOST without a path",
            is_valid: |text| github_host(text).is_some(),
        },
        "https://github.com",
    ),
    required: Required::No,
    update: Update::Replacement,
    description: "The URL of GitHub: https://github.com, a tenant's https://SUB.ghe.com, or that of a GitHub \
                  Enterprise Server.",
    notes: "`http` is accepted for a loopback host only. A tenant of `ghe.com` requires version 2.335.0 of the image \
            or newer. With `RepoUrl`, the default is the host of the repository.",
};

pub(in super::super) static ACCESS_TOKEN_PARAMETER: Property<Parameter> = Property {
    name: "AccessTokenParameter",
    accepts: Parameter { what: "the access token" },
    required: ONE_CREDENTIAL,
    update: Update::SomeInterruptions,
    description: "The name or ARN of the Parameter Store parameter, or the ARN of the Secrets Manager secret, that \
                  stores a GitHub personal access token.",
    notes: "Specify the parameter, never the token. The function reads only what lies below the `CredentialPrefix` of \
            the provider's template, by default parameters below `/github-runner-pool/` and secrets whose names begin \
            with `github-runner-pool/`. It registers and administers the runners with the token. The ARN of a secret \
            may end with `:KEY::` for a key of a JSON secret, and with `:KEY:STAGE:` or `:KEY::VERSION-ID` for a \
            version of it. Excludes `AppId` and `AppPrivateKeyParameter`.",
};

pub(in super::super) static APP_ID: Property<Text> = Property {
    name: "AppId",
    accepts: Text {
        expected: "the numeric ID of the GitHub App",
        is_valid: |text| text.chars().all(|c| c.is_ascii_digit()),
    },
    required: Required::Conditional("Specify it with `AppPrivateKeyParameter`, instead of `AccessTokenParameter`."),
    update: Update::SomeInterruptions,
    description: "The numeric ID of the GitHub App that registers and administers the runners instead of an access \
                  token.",
    notes: "",
};

pub(in super::super) static APP_PRIVATE_KEY_PARAMETER: Property<Parameter> = Property {
    name: "AppPrivateKeyParameter",
    accepts: Parameter { what: "the App's private key" },
    required: Required::Conditional("Specify it with `AppId`."),
    update: Update::SomeInterruptions,
    description: "The name or ARN of the Parameter Store parameter, or the ARN of the Secrets Manager secret, that \
                  stores the GitHub App's private key in PEM format.",
    notes: "The ARN of a secret may end as that of `AccessTokenParameter`.",
};

pub(in super::super) static APP_LOGIN: Property<WithDerivedDefault<Text>> = Property {
    name: "AppLogin",
    accepts: WithDerivedDefault(
        Text { expected: "the account on which the GitHub App is installed", is_valid: is_account_name },
        "the organization, or the owner of the repository",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The account on which the GitHub App is installed, if it is not the owner of the target.",
    notes: "Requires `AppId` and `AppPrivateKeyParameter`. With `RegisterBy: Container`, the image compares the name \
            letter by letter, case included.",
};

pub(in super::super) static RUNNER_TOKEN_PARAMETER: Property<Parameter> = Property {
    name: "RunnerTokenParameter",
    accepts: Parameter { what: "the token" },
    required: ONE_CREDENTIAL,
    update: Update::SomeInterruptions,
    description: "The name or ARN of the Parameter Store parameter, or the ARN of the Secrets Manager secret, that \
                  stores a registration token with which the runners register.",
    notes: "With an access token or a GitHub App as well, only the function uses those, and the containers never \
            receive them. Without one the function has no access to GitHub: it checks nothing there and deregisters \
            no runner. A registration token is valid for an hour, so something has to renew the parameter. The ARN of \
            a secret may end as that of `AccessTokenParameter`.",
};

pub(in super::super) static REGISTER_BY: Property<WithDerivedDefault<Choice<RegisterBy>>> = Property {
    name: "RegisterBy",
    accepts: WithDerivedDefault(
        Choice { names: &["Function", "Container"], values: &[RegisterBy::Function, RegisterBy::Container] },
        "`Function`; with `RunnerTokenParameter`, `Container`",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Who registers a runner at GitHub: the function, or the runner's own container.",
    notes: "With `Function`, the container gets no credential: its task asks through the provider stack's \
            registrations table, and the function registers one runner for it, once. With `Container`, the image \
            registers itself with the credential, which every job can read; that is the way for an image without \
            `bash`, `curl`, `jq` and the AWS CLI.",
};

pub(super) static TARGET: &[&dyn Row] = &[&ORG_NAME, &REPO_URL, &ENTERPRISE_NAME, &ORG_RUNNER, &GITHUB_URL];

pub(super) static CREDENTIALS: &[&dyn Row] =
    &[&ACCESS_TOKEN_PARAMETER, &APP_ID, &APP_PRIVATE_KEY_PARAMETER, &APP_LOGIN, &RUNNER_TOKEN_PARAMETER, &REGISTER_BY];
