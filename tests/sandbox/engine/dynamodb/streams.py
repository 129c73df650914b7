"""Lambda's poller of table streams: partial batches, retries, the age of records, and halves of a failed batch.

One shard, and one invocation at a time: what ParallelizationFactor is for, a world this small has no need of.
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import dynamodb, lambda_svc

from ..core import Core
from ..handlers import Json

UNLIMITED = -1
REPORTS_FAILURES = "ReportBatchItemFailures"


@dataclass
class Progress:
    """How far a mapping is with the batch at its position."""

    attempts: int = 0
    """Invocations for it that failed."""
    size_max: int | None = None
    """After a failure: the records that are tried again, so that none joins them."""
    retry_at: float = 0.0


@dataclass(frozen=True)
class Failure:
    """What a batch is tried again for."""

    place: int
    """The first record that is tried again."""
    is_reported: bool
    """The function has named that record, so there is no need to look for it by halves."""


class StreamMappings:
    """All event source mappings whose source is a table's stream."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._progress: dict[str, Progress] = {}

    def install(self) -> None:
        """Takes the place of MiniStack's poller, which asks for this again and again on a thread of its own."""
        lambda_svc._poll_dynamodb_streams = self.poll

    def poll(self) -> bool:
        """Whether a mapping went on, so that there may be more to do at once."""
        went_on = False
        for account, region, mapping in lambda_svc._iter_all_esms():
            with request_scope(account, region):
                went_on |= self._poll_mapping(mapping)
        return went_on

    def _poll_mapping(self, mapping: Json) -> bool:
        name = _table_of(mapping)
        progress = self._progress.setdefault(mapping["UUID"], Progress())
        if name is None or time.time() < progress.retry_at:
            return False
        function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
        if function is None:
            return False
        start = max(_position(mapping), dynamodb.stream_start_position(name))
        size = progress.size_max or int(mapping.get("BatchSize") or 100)
        records: list[Json] = dynamodb.stream_records_since(name, start, size)
        if not records:
            return False
        if expired := _n_expired(mapping, records):
            self._drop(mapping, start + expired, "too old")
            return True
        kept = lambda_svc._apply_filter_criteria(records, mapping)
        failure = self._invoke(mapping, function, records, kept) if kept else None
        if failure is None:
            self._go_on(mapping, start + len(records))
            return True
        return self._failed(mapping, start, len(records), failure)

    def _invoke(self, mapping: Json, function: Json, records: list[Json], kept: list[Json]) -> Failure | None:
        outcome = lambda_svc._execute_function(function, {"Records": kept})
        if outcome.get("error"):
            return Failure(0, is_reported=False)
        if REPORTS_FAILURES not in (mapping.get("FunctionResponseTypes") or []):
            return None
        failures = _json(outcome.get("body")).get("batchItemFailures") or []
        if not failures:
            return None
        places = {record["dynamodb"]["SequenceNumber"]: place for place, record in enumerate(records)}
        named = [places.get(failure.get("itemIdentifier")) for failure in failures]
        # The lowest number counts, and what is after it is tried again as well. A number that is none of these is an
        # error of the whole batch.
        known = [place for place in named if place is not None]
        return Failure(min(known), is_reported=True) if len(known) == len(named) else Failure(0, is_reported=False)

    def _failed(self, mapping: Json, start: int, size: int, failure: Failure) -> bool:
        progress = self._progress[mapping["UUID"]]
        left = size - failure.place
        _set_position(mapping, start + failure.place)
        if failure.place:
            progress.attempts = 0
        progress.attempts += 1
        progress.size_max = left
        retries = int(mapping.get("MaximumRetryAttempts", UNLIMITED))
        self.core.journal.event("stream", "failed", records=left, attempts=progress.attempts)
        bisects = str(mapping.get("BisectBatchOnFunctionError")).lower() == "true"
        if bisects and left > 1 and not failure.is_reported:
            # "Splitting a batch does not count towards the retry quota."
            progress.size_max, progress.attempts = (left + 1) // 2, 0
        elif retries != UNLIMITED and progress.attempts > retries:
            self._drop(mapping, start + size, "tried too often")
            return True
        progress.retry_at = time.time() + self.core.pace.stream_retry
        return False

    def _drop(self, mapping: Json, position: int, why: str) -> None:
        self.core.journal.event("stream", "dropped", why=why)
        self._go_on(mapping, position)

    def _go_on(self, mapping: Json, position: int) -> None:
        _set_position(mapping, position)
        self._progress[mapping["UUID"]] = Progress()


def _table_of(mapping: Json) -> str | None:
    """The table, if the mapping is on and the stream is the one that the table has now."""
    source = str(mapping.get("EventSourceArn"))
    if not mapping.get("Enabled", True) or ":dynamodb:" not in source:
        return None
    name = source.split(":table/")[1].split("/")[0]
    table = dynamodb._tables.get(name)
    return name if table and table.get("LatestStreamArn") == source else None


def _position(mapping: Json) -> int:
    """MiniStack sets it by StartingPosition when the mapping is created."""
    return int(lambda_svc._dynamodb_stream_positions.get(mapping["UUID"]) or 0)


def _set_position(mapping: Json, position: int) -> None:
    lambda_svc._dynamodb_stream_positions[mapping["UUID"]] = position


def _n_expired(mapping: Json, records: list[Json]) -> int:
    """How many at the front are older than MaximumRecordAgeInSeconds."""
    age_max = int(mapping.get("MaximumRecordAgeInSeconds", UNLIMITED))
    if age_max <= 0:
        return 0
    oldest = time.time() - age_max
    young = [place for place, one in enumerate(records) if one["dynamodb"]["ApproximateCreationDateTime"] >= oldest]
    return min(young, default=len(records))


def _json(body: Any) -> Json:
    try:
        parsed = json.loads(body) if isinstance(body, (str, bytes)) else body
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
