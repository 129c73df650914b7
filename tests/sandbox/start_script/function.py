"""The function as the start script meets it: it reads requests from the table's stream and writes answers."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

from botocore.exceptions import ClientError

from sandbox.world import World

Answer = dict[str, Any]
KEY = {"#key": "key", "#answer": "answer", "#attempt": "attempt"}
UNANSWERED = "attribute_exists(#key) AND #attempt = :attempt AND attribute_not_exists(#answer)"


def refused(message: str, *, retry: bool) -> Answer:
    return {"kind": "refused", "message": message, "retry": retry}


ALREADY_REGISTERED = "RegisterBy: the task has got its registration already. Let its service start another task."
ANOTHERS_TASK = "RegisterBy: the request names a task of another role session. Ask for the task's own registration."


class Function:
    """Answers each task's attempts in turn with what the test gave for it. `None` is no answer; the last one stays."""

    def __init__(self, world: World, table: str) -> None:
        self.table = table
        self.answers: dict[str, list[Answer | None]] = {}
        self.requests: list[dict[str, Any]] = []
        self.records = 0
        self._registered: set[str] = set()
        self._dynamodb = world.client("dynamodb")
        self._streams = world.client("dynamodbstreams")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def close(self) -> None:
        assert self._thread.is_alive(), "the function broke down"
        self._closed.set()
        self._thread.join(10)

    def requests_of(self, task: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["task"]["S"].endswith(f"/{task}")]

    def item(self, key: str) -> dict[str, Any] | None:
        found = self._dynamodb.get_item(TableName=self.table, Key={"key": {"S": key}}, ConsistentRead=True)
        return found.get("Item")

    def _poll(self) -> None:
        stream = self._dynamodb.describe_table(TableName=self.table)["Table"]["LatestStreamArn"]
        shard = self._streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
        iterator = self._streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        while not self._closed.wait(0.05):
            read = self._streams.get_records(ShardIterator=iterator)
            iterator = read["NextShardIterator"]
            for record in read["Records"]:
                self.records += 1
                assert set(record["dynamodb"]) & {"NewImage", "OldImage"} == set()
                if record["eventName"] != "REMOVE":
                    self._work(record["dynamodb"]["Keys"]["key"]["S"])

    def _work(self, key: str) -> None:
        request = self.item(key)
        if request is None or "answer" in request:
            return
        self.requests.append(request)
        answer = self._decide(request)
        if answer is None:
            return
        with contextlib.suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self.answer(request, answer)

    def answer(self, request: dict[str, Any], answer: Answer) -> None:
        self._dynamodb.update_item(
            TableName=self.table,
            Key={"key": request["key"]},
            UpdateExpression="SET #answer = :answer",
            ConditionExpression=UNANSWERED,
            ExpressionAttributeNames=KEY,
            ExpressionAttributeValues={
                ":answer": {"S": json.dumps(answer, ensure_ascii=False)},
                ":attempt": request["attempt"],
            },
        )

    def _decide(self, request: dict[str, Any]) -> Answer | None:
        task = request["task"]["S"].rpartition("/")[2]
        if request["key"]["S"].rpartition(":")[2] != task:
            return refused(ANOTHERS_TASK, retry=False)
        if task in self._registered:
            return refused(ALREADY_REGISTERED, retry=False)
        answers = self.answers.get(task, [None])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None and answer.get("kind") != "refused":
            self._registered.add(task)
        return answer


def make_table(world: World, name: str) -> None:
    """The table of registrations as the provider's stack declares it."""
    with contextlib.suppress(ClientError):
        world.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )
