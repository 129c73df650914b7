"""An invocation of the function for its answer."""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from .account import Account
from .errors import DeployError

# As long as Lambda runs the function, and no retry, since that would run it a second time.
ONE_LONG_CALL = Config(read_timeout=900, retries={"max_attempts": 0})


def invoke(account: Account, function: str, event: dict[str, Any], what: str) -> dict[str, Any]:
    """What the function answers to the event; `what` is what it is asked for, such as `a plan`."""
    client = account.client("lambda", config=ONE_LONG_CALL)
    try:
        response = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except client.exceptions.ResourceNotFoundException:
        raise DeployError(
            f"Function {function}: it does not exist, and {what} comes from it. Run `make deploy`; if it has another "
            "name, set FUNCTION_NAME, or the template's parameter for it."
        ) from None
    except ClientError as error:
        if "AccessDenied" in error.response["Error"]["Code"]:
            raise DeployError(
                f"Function {function}: {what} needs lambda:InvokeFunction on it. Grant it to the caller. {error}"
            ) from error
        raise
    answer = json.loads(response["Payload"].read() or b"null")
    if "FunctionError" in response or not isinstance(answer, dict):
        raise no_answer(function, what, answer)
    return answer


def no_answer(function: str, what: str, answer: Any) -> DeployError:
    """The error of an answer that is none."""
    return DeployError(
        f"Function {function}: it did not return {what}. Run `make deploy` if it is of an older version. It returned: "
        f"{answer}"
    )
