"""`make costs`: the tables of cfn/sizing.md, with the prices, the assumptions and the arithmetic that they come from.

Nothing is asked over the network. A price that has changed is changed here, and `make costs` writes the tables again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from .output import end_quietly

DOCUMENT = Path(__file__).resolve().parents[1] / "sizing.md"
HOURS = 730

# US dollars in us-east-1, November 2026, without free tiers.
# https://aws.amazon.com/ebs/pricing/
GP3_GB_MONTH = 0.08
# https://aws.amazon.com/vpc/pricing/
PUBLIC_ADDRESS_HOUR = 0.005
NAT_HOUR = 0.045
NAT_GB = 0.045
# https://aws.amazon.com/lambda/pricing/, arm64 and x86-64
LAMBDA_GB_SECOND = 0.0000133334
LAMBDA_GB_SECOND_X86 = 0.0000166667
LAMBDA_REQUEST = 0.20 / 1e6
# https://aws.amazon.com/dynamodb/pricing/on-demand/
DYNAMODB_WRITE = 0.625 / 1e6
DYNAMODB_READ = 0.125 / 1e6
# https://aws.amazon.com/sqs/pricing/
SQS_REQUEST = 0.40 / 1e6
# https://aws.amazon.com/cloudwatch/pricing/
DASHBOARD = 3.00
ALARM = 0.10
METRIC = 0.30
LOG_GB = 0.50
# https://aws.amazon.com/eventbridge/pricing/
SCHEDULE_INVOCATION = 1.00 / 1e6

# The templates' defaults.
FUNCTION_GB = 128 / 1024
RESERVATION_MIB = 3500
DISK_GB_MIN = 100
DISK_GB_PER_RUNNER = 50
ALARMS = 10
# Those that are written all the time: three of the inventory, two of the tick's calls, one of the listener's tick.
METRICS = 6
# Those of a pool with MaxRunners, which are also written without the dimension Pool.
JOB_METRICS = 5

# How long the minute rule's invocation takes at most on average, most of it waiting for GitHub.
TICK_SECS = 1
# One invocation of the listener at a time, for all pools, which hands over after about 14 minutes.
LISTENER_SECS = HOURS * 3600
LISTENER_INVOCATION_SECS = 14 * 60
# Between two renewals of its lease, each with a read of the list of pools.
LEASE_RENEWAL_SECS = 10
# Lambda polls a queue with five long polls of up to 20 seconds.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
QUEUE_POLLS = 5 * 3 * 60 * HOURS
# A registration: the request, the claim, the answer of 6 KB, its deletion, and polls that find no answer yet, each a
# conditional write of 1 KB.
REGISTRATION_WRITES = 1 + 1 + 6 + 6 + 6
# How long an instance runs before it is stopped in the warm pool: the launch hook's time.
WARM_UP_HOURS = 600 / 3600
# The share of a type's memory that is left for tasks at least. The rest is the kernel's and the firmware's. Karpenter
# assumes the same: https://karpenter.sh/docs/reference/settings/ (VM_MEMORY_OVERHEAD_PERCENT, 0.075).
MEMORY_LEFT = 0.925


@dataclass(frozen=True)
class InstanceType:
    """https://aws.amazon.com/ec2/instance-types/, and https://aws.amazon.com/ec2/pricing/on-demand/ for Linux."""

    name: str
    vcpus: int
    gib: int
    hour: float
    gpus: int = 0

    @property
    def mib_for_tasks(self) -> int:
        return int(self.gib * 1024 * MEMORY_LEFT)

    def runners(self, reservation_mib: int = RESERVATION_MIB) -> int:
        """By memory, and one runner for each GPU."""
        by_memory = self.mib_for_tasks // reservation_mib
        return min(by_memory, self.gpus) if self.gpus else by_memory

    @property
    def disk_gb(self) -> int:
        return max(DISK_GB_MIN, DISK_GB_PER_RUNNER * self.runners())

    @property
    def hour_with_disk(self) -> float:
        return self.hour + self.disk_gb * GP3_GB_MONTH / HOURS


M7I_LARGE = InstanceType("m7i.large", 2, 8, 0.1008)
M7I_XLARGE = InstanceType("m7i.xlarge", 4, 16, 0.2016)
M7I_2XLARGE = InstanceType("m7i.2xlarge", 8, 32, 0.4032)
M7I_4XLARGE = InstanceType("m7i.4xlarge", 16, 64, 0.8064)
TYPES = [
    M7I_LARGE,
    M7I_XLARGE,
    M7I_2XLARGE,
    M7I_4XLARGE,
    InstanceType("m7g.large", 2, 8, 0.0816),
    InstanceType("m7g.2xlarge", 8, 32, 0.3264),
    InstanceType("c7i.2xlarge", 8, 16, 0.357),
    InstanceType("r7i.large", 2, 16, 0.1323),
    InstanceType("g4dn.xlarge", 4, 16, 0.526, gpus=1),
    InstanceType("g6.xlarge", 4, 16, 0.8048, gpus=1),
]
# How many runners, on which type: fewer and larger instances share the images and the caches of more jobs.
SIZES = [
    (1, M7I_LARGE),
    (2, M7I_LARGE),
    (10, M7I_XLARGE),
    (50, M7I_2XLARGE),
    (100, M7I_4XLARGE),
    (200, M7I_4XLARGE),
    (500, M7I_4XLARGE),
]


def usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.01 else "under $0.01"


def table(head: list[str], columns: str, rows: list[list[str]]) -> str:
    """In Markdown. `columns` has `l` or `r` for each column, for left and right."""
    rule = "|".join("---" if column == "l" else "--:" for column in columns)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def tick_month() -> float:
    return HOURS * 60 * (TICK_SECS * FUNCTION_GB * LAMBDA_GB_SECOND + LAMBDA_REQUEST)


def listener_month() -> tuple[float, float]:
    """Its invocations, and its lease."""
    requests = LISTENER_SECS / LISTENER_INVOCATION_SECS * LAMBDA_REQUEST
    renewals = LISTENER_SECS // LEASE_RENEWAL_SECS
    return LISTENER_SECS * FUNCTION_GB * LAMBDA_GB_SECOND + requests, renewals * (DYNAMODB_WRITE + DYNAMODB_READ)


def idle_month() -> float:
    """The function without a request, its tables included."""
    return tick_month() + QUEUE_POLLS * SQS_REQUEST + METRICS * METRIC


def idle_month_with_jobs() -> float:
    """The same with one pool that has `MaxRunners`."""
    return idle_month() + sum(listener_month()) + 2 * JOB_METRICS * METRIC


def monthly_costs() -> str:
    """Of each part of an account with one pool."""
    instance, disk = M7I_LARGE.hour * HOURS, M7I_LARGE.disk_gb * GP3_GB_MONTH
    listener, lease = listener_month()
    listener_x86 = listener + LISTENER_SECS * FUNCTION_GB * (LAMBDA_GB_SECOND_X86 - LAMBDA_GB_SECOND)
    renewals = LISTENER_SECS // LEASE_RENEWAL_SECS
    address, nat = PUBLIC_ADDRESS_HOUR * HOURS, NAT_HOUR * HOURS
    two = M7I_LARGE.runners()
    rows = [
        ["a pool with `DesiredCount: 0` and `MinInstances: 0`", "no instance", "$0.00"],
        [f"an `{M7I_LARGE.name}`, which has room for {two} runners", f"{HOURS} h x ${M7I_LARGE.hour}", usd(instance)],
        ["its disk, gp3", f"{M7I_LARGE.disk_gb} GB x ${GP3_GB_MONTH}", usd(disk)],
        [f"**pool.yaml with its default of {two} runners**", "", f"**{usd(instance + disk)}**"],
        ["without NAT: a public IPv4 address per instance", f"{HOURS} h x ${PUBLIC_ADDRESS_HOUR}", usd(address)],
        ["with NAT: a gateway per zone", f"{HOURS} h x ${NAT_HOUR}, and ${NAT_GB} per GB", f"{usd(nat)} and traffic"],
        [
            "the function: its minute rule",
            f"{HOURS * 60:,} invocations of {TICK_SECS} s at 128 MB",
            usd(tick_month()),
        ],
        [
            "the function: Lambda polls the on-failure queue",
            f"{QUEUE_POLLS:,} requests",
            usd(QUEUE_POLLS * SQS_REQUEST),
        ],
        ["the function: its metrics", f"{METRICS} x ${METRIC:.2f}", usd(METRICS * METRIC)],
        [
            "the function: 100 requests that wait for half an hour",
            "180,000 s at 128 MB",
            usd(180_000 * FUNCTION_GB * LAMBDA_GB_SECOND),
        ],
        [
            "the tables: 100,000 registrations",
            f"100,000 x {REGISTRATION_WRITES} writes",
            usd(100_000 * REGISTRATION_WRITES * DYNAMODB_WRITE),
        ],
        [
            "with `MaxRunners`: the listener of all pools",
            f"{LISTENER_SECS:,} s at 128 MB, arm64 (x86-64: {usd(listener_x86)})",
            usd(listener),
        ],
        [
            "with `MaxRunners`: the listener's lease",
            f"{renewals:,} x (1 write, 1 read)",
            usd(lease),
        ],
        [
            "with `MaxRunners`: metrics, by pool and of all pools",
            f"(number of pools + 1) x {JOB_METRICS} x ${METRIC:.2f}",
            f"{usd(2 * JOB_METRICS * METRIC)} for one pool",
        ],
        [
            "operations.yaml",
            f"a dashboard, {ALARMS} alarms",
            usd(DASHBOARD + ALARMS * ALARM),
        ],
        ["schedule.yaml", "50 invocations", usd(50 * SCHEDULE_INVOCATION)],
        ["logs of runners and function", "for each GB", usd(LOG_GB)],
    ]
    return table(["what", "how it is calculated", "a month"], "llr", rows)


def runners_per_instance() -> str:
    rows = [
        [
            f"`{kind.name}`",
            str(kind.vcpus),
            str(kind.gib),
            f"{kind.mib_for_tasks:,}",
            str(kind.runners()),
            str(kind.disk_gb),
            f"${kind.hour_with_disk / kind.runners():.4f}",
            f"${(kind.hour_with_disk + PUBLIC_ADDRESS_HOUR) / kind.runners():.4f}",
        ]
        for kind in TYPES
    ]
    head = ["type", "vCPUs", "GiB", "MiB for tasks", "runners", "disk, GB", "a runner-hour", "with a public address"]
    return table(head, "lrrrrrrr", rows)


def sizes() -> str:
    rows: list[list[str]] = []
    for n_runners, kind in SIZES:
        n_instances = ceil(n_runners / kind.runners())
        month = n_instances * kind.hour_with_disk * HOURS
        address = n_instances * PUBLIC_ADDRESS_HOUR * HOURS
        rows.append(
            [
                str(n_runners),
                f"{n_instances} `{kind.name}`",
                str(2 * n_instances),
                str(2 * n_instances * kind.vcpus),
                f"{usd(month + address)}",
                f"{usd(month + NAT_HOUR * HOURS)}",
            ]
        )
    head = ["runners", "instances", "`MaxInstances`", "vCPUs (quota)", "a month without NAT", "with a NAT gateway"]
    return table(head, "rlrrrr", rows)


def warm_instances() -> str:
    """Of one instance, in the ways in which it can be ready."""
    kind = M7I_LARGE
    disk, refill = kind.disk_gb * GP3_GB_MONTH, kind.hour_with_disk * WARM_UP_HOURS
    rows = [
        ["none: it starts when it is needed", "", "$0.00"],
        [
            f"`WarmInstances: 1`, a stopped `{kind.name}`",
            f"its disk, {kind.disk_gb} GB x ${GP3_GB_MONTH}",
            usd(disk),
        ],
        ["its replacement, 100 times", f"100 x 10 min x ${kind.hour_with_disk:.4f} an hour", usd(100 * refill)],
        [
            f"`MinInstances: 1`, an `{kind.name}` that runs",
            f"{HOURS} h x ${kind.hour} and its disk",
            usd(kind.hour * HOURS + disk),
        ],
    ]
    return table(["an instance in reserve", "how it is calculated", "a month"], "llr", rows)


PLACE = re.compile(r"(?P<begin><!-- make costs: (?P<name>.*?) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
TABLES = {
    "monthly costs": monthly_costs,
    "runners per instance": runners_per_instance,
    "sizes": sizes,
    "warm instances": warm_instances,
}


def written(document: str) -> str:
    """The document with these tables in their places."""

    def place(found: re.Match[str]) -> str:
        return f"{found['begin']}\n{TABLES[found['name']]()}\n\n{found['end']}"

    return PLACE.sub(place, document)


def main() -> None:
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
    for name, make in TABLES.items():
        print(f"{name}\n\n{make()}\n")


if __name__ == "__main__":
    end_quietly(main)
