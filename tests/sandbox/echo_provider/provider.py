"""A custom resource provider that responds as its properties say, to test the sandbox's CloudFormation with.

`Id` is the physical id of its response. `Response` is SUCCESS, FAILED or nothing; `OnUpdate` and `OnDelete` are the
same for those requests. `Seconds` is how long it takes, and `Crash` how often it ends with an error before it responds.
"""

import json
import os
import time
import urllib.request
from typing import Any

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"
crashes: dict[str, int] = {}


def main() -> None:
    while True:
        with urllib.request.urlopen(f"{RUNTIME}/invocation/next") as invocation:
            request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
            event = json.load(invocation)
        try:
            handle(event)
        except Exception as error:
            body = {"errorMessage": str(error), "errorType": type(error).__name__}
            send(f"{RUNTIME}/invocation/{request_id}/error", body, "POST")
        else:
            send(f"{RUNTIME}/invocation/{request_id}/response", {}, "POST")


def handle(event: dict[str, Any]) -> None:
    properties = event["ResourceProperties"]
    print(json.dumps({"request": event["RequestType"], "logical_id": event["LogicalResourceId"]}), flush=True)
    attempts = crashes[event["RequestId"]] = crashes.get(event["RequestId"], 0) + 1
    if attempts <= int(properties.get("Crash", 0)):
        raise RuntimeError("crash as requested")
    time.sleep(float(properties.get("Seconds", 0)))
    status = properties.get("Response", "SUCCESS")
    if event["RequestType"] != "Create":
        status = properties.get("On" + event["RequestType"], "SUCCESS")
    if status == "nothing":
        return
    response = {
        "Status": status,
        "Reason": "as requested",
        "PhysicalResourceId": properties.get("Id") or event.get("PhysicalResourceId") or event["LogicalResourceId"],
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        "Data": {"Size": properties.get("Size", "")},
    }
    if event["RequestType"] == "Delete":
        response["PhysicalResourceId"] = event["PhysicalResourceId"]
    send(event["ResponseURL"], response, "PUT")


def send(url: str, body: dict[str, Any], method: str) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": ""}, method=method)
    urllib.request.urlopen(request).close()


main()
