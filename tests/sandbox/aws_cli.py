"""The AWS CLI in a sandbox: its waiters poll every second instead of every half minute."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

WAITERS = "cloudformation/2010-05-15/waiters-2.json"
DELAY_SECS = 1


def quick_waiters(folder: Path) -> Path:
    """Writes the CLI's own waiters with short delays, and returns what `AWS_DATA_PATH` is to be."""
    waiters = json.loads(resources.files("awscli").joinpath("botocore/data", WAITERS).read_text())
    for waiter in waiters["waiters"].values():
        waiter["delay"] = DELAY_SECS
    made = folder / "models" / WAITERS
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(json.dumps(waiters))
    return folder / "models"
