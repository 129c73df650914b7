"""A function that prints its events, and fails with a table's stream as the keys of the records say.

`crash-...` ends the invocation with an error, `poison-...` is reported as failed, `fail2-...` the first two times.
The event `{"Wait": {}}` never ends.
"""

import json
import os
import threading
import urllib.request
from collections import Counter
from typing import Any

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"
seen: Counter[str] = Counter()


def main() -> None:
    while True:
        with urllib.request.urlopen(f"{RUNTIME}/invocation/next") as invocation:
            request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
            event = json.load(invocation)
        try:
            outcome, body = "response", handle(event)
        except Exception as error:
            outcome, body = "error", {"errorMessage": str(error), "errorType": type(error).__name__}
        request = urllib.request.Request(
            f"{RUNTIME}/invocation/{request_id}/{outcome}", json.dumps(body).encode(), method="POST"
        )
        urllib.request.urlopen(request).close()


def handle(event: dict[str, Any]) -> dict[str, Any]:
    if "Wait" in event:
        threading.Event().wait()
    records = event.get("Records", [])
    keys = [record["dynamodb"]["Keys"]["key"]["S"] for record in records]
    print(json.dumps({"keys": keys} if records else {"event": event}), flush=True)
    seen.update(keys)
    failed = []
    for record, key in zip(records, keys, strict=True):
        how, _, _ = key.partition("-")
        if how == "crash":
            raise RuntimeError("crash as requested")
        if how == "poison" or (how == "fail2" and seen[key] <= 2):
            failed.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
    return {"batchItemFailures": failed}


main()
