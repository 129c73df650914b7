"""Deploys the stack of provider.yaml, and the function.

Everything is read first and written only if it differs, so a second deployment writes nothing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

from botocore.exceptions import ClientError

from .account import Account, parameters_of
from .binary import Code
from .ecs_role import create_ecs_role
from .errors import DeployError
from .output import say
from .source import code_of
from .upload import MEMORY_MIB, TIMEOUT_SECS, Upload, upload

TEMPLATE = Path(__file__).parents[1] / "provider.yaml"


def deploy(account: Account) -> None:
    """Creates or updates what differs, and prints it."""
    stack = account.stack()
    bucket = parameters_of(stack).get("CodeBucket") if stack else None
    if bucket or "CodeBucket" in dict(account.options.parameters):
        raise DeployError(
            "CodeBucket: `make deploy` does not deploy from a bucket"
            + (f", and the function {account.function} comes from the bucket {bucket}" if bucket else "")
            + ". `make package` builds the zip and prints the commands for it."
        )
    code = code_of(account.options)
    exists = account.function_configuration() is not None
    # First, so that IAM has propagated it by the time of the first pool.
    changed = create_ecs_role(account)
    changed |= deploy_stack(account, exists)
    changed |= deploy_function(account, code)
    if not exists:
        deploy_stack(account, exists=True)
    if account.lambda_.get_function_recursion_config(FunctionName=account.function)["RecursiveLoop"] != "Allow":
        account.lambda_.put_function_recursion_config(FunctionName=account.function, RecursiveLoop="Allow")
        say("recursive loop detection: off, since the function limits its own invocations")
        changed = True
    if not changed:
        say("No changes: the stack, the code and the settings are up to date.")
    next_steps(account)


def deploy_stack(account: Account, exists: bool) -> bool:
    """Creates or updates the stack, and returns whether it did."""
    given = {
        **dict(account.options.parameters),
        "FunctionName": account.function,
        "FunctionExists": str(exists).lower(),
    }
    body, stack = TEMPLATE.read_text(), account.stack()
    wanted = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    request = {"TemplateBody": body, "Capabilities": ["CAPABILITY_IAM"]}
    if stack is None:
        say(f"stack {account.function}: creating the roles, the log group, the tables and the queue")
        made = account.cloudformation.create_stack(
            # A stack that failed to create would block the next attempt.
            StackName=account.function,
            Parameters=wanted,
            OnFailure="DELETE",
            **request,
        )
        account.wait_for_stack(made["StackId"], "stack_create_complete", set())
        return True
    if not re.fullmatch(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE", stack["StackStatus"]):
        raise DeployError(
            f"Stack {account.function}: its status is {stack['StackStatus']}, so it cannot be updated. Wait for the "
            "end of an operation in progress; otherwise its events in the console say why. A stack that was never "
            "created completely can be deleted there."
        )
    has = parameters_of(stack)
    current = account.cloudformation.get_template(StackName=stack["StackId"], TemplateStage="Original")["TemplateBody"]
    if current == body and all(has.get(key) == value for key, value in given.items()):
        return False
    say(f"stack {account.function}: updating")
    known = account.cloudformation.get_template_summary(TemplateBody=body)["Parameters"]
    kept = {item["ParameterKey"] for item in known} & has.keys() - given.keys()
    wanted += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
    before = {event["EventId"] for event in account.events(stack["StackId"])}
    try:
        account.cloudformation.update_stack(StackName=stack["StackId"], Parameters=wanted, **request)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    account.wait_for_stack(stack["StackId"], "stack_update_complete", before)
    return True


def deploy_function(account: Account, code: Code) -> bool:
    """Creates or updates the function, and returns whether it did."""
    outputs = {item["OutputKey"]: item["OutputValue"] for item in (account.stack() or {}).get("Outputs", [])}
    role, now = outputs["RoleArn"], account.function_configuration()
    current = (now or {}).get("Environment", {}).get("Variables", {})
    # This one follows the stack, whatever SETTINGS has.
    variables = {**(dict(account.options.settings) or current), "RUNNER_ROLE_ARN": outputs["RunnerRoleArn"]}
    if now is not None:
        differs = {
            "code": now["CodeSha256"] != b64encode(code.sha256).decode(),
            "architecture": now["Architectures"] != [code.architecture],
            "role": now["Role"] != role,
            "timeout": now["Timeout"] != TIMEOUT_SECS,
            "memory": now["MemorySize"] != MEMORY_MIB,
            "settings": variables != current,
        }
        changes = [name for name, is_so in differs.items() if is_so]
        if not changes:
            return False
        say(f"function {account.function}: updating {', '.join(changes)}")
        # cargo-lambda does not change role and architecture in an existing function, and reads commas in a variable's
        # value as the beginning of the next variable.
        if differs["role"] or differs["settings"]:
            account.lambda_.update_function_configuration(
                FunctionName=account.function, Role=role, Environment={"Variables": variables}
            )
            account.wait_until_ready()
        if differs["architecture"]:
            account.lambda_.update_function_code(
                FunctionName=account.function, ZipFile=code.zip, Architectures=[code.architecture]
            )
            account.wait_until_ready()
    else:
        say(f"function {account.function}: creating, for {code.architecture}")
    upload(account, Upload(code, role, variables if now is None else {}, exists=now is not None))
    return True


def next_steps(account: Account) -> None:
    """Prints what comes next, as in the README's quick start."""
    named = "" if account.function == "github-runner-pool" else f"FunctionName={account.function} "
    token = account.lambda_.get_function_configuration(FunctionName=account.function)["FunctionArn"]
    variables = {
        "AWS_REGION": account.region,
        "AWS_PROFILE": account.options.profile,
        "AWS_ENDPOINT_URL": account.options.endpoint_url,
    }
    exported = " ".join(f"{name}={value}" for name, value in variables.items() if value)
    say(f"""
ServiceToken: {token}

Next, a token of an owner of the organization, and a pool (README.md, Quick start):

  export {exported}
  printf "Token: "; read -rs token; printf %s "$token" | aws ssm put-parameter --overwrite \\
    --name /github-runner-pool/token --type SecureString --value file:///dev/stdin
  aws ec2 describe-subnets --output table \\
    --query 'Subnets[].[VpcId, DefaultForAz, SubnetId, AvailabilityZone, MapPublicIpOnLaunch]'
  aws cloudformation deploy --stack-name runners --template-file cfn/pool.yaml \\
    --capabilities CAPABILITY_IAM --parameter-overrides {named}OrgName=… \\
    VpcId=vpc-… Subnets=subnet-…,subnet-…""")
