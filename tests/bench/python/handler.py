"""The same work by crhelper and boto3: reject an invalid property, or delete what GitHub still lists of a pool."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
import urllib3
from crhelper import CfnResource

helper = CfnResource(json_logging=True, log_level="INFO", boto_level="CRITICAL", sleep_on_delete=0)
ecs, autoscaling, ssm = boto3.client("ecs"), boto3.client("autoscaling"), boto3.client("ssm")
# As many deletions at a time as the function makes.
LANES = 8
http = urllib3.PoolManager(maxsize=LANES, ca_certs=os.environ["SSL_CERT_FILE"])


@helper.create
def create(event, _):
    known = {"ServiceToken", "OrgName", "GitHubUrl", "AccessTokenParameter", "Cluster"}
    if unknown := sorted(set(event["ResourceProperties"]) - known):
        raise ValueError(f"{len(unknown)} property needs attention: {unknown[0]} is not known.")


@helper.delete
def delete(event, _):
    properties, pool = event["ResourceProperties"], event["PhysicalResourceId"]
    token = ssm.get_parameter(Name=properties["AccessTokenParameter"], WithDecryption=True)["Parameter"]["Value"]
    ecs.describe_services(cluster=properties["Cluster"], services=[pool])
    ecs.list_tasks(cluster=properties["Cluster"], family=pool)
    ecs.describe_capacity_providers(capacityProviders=[pool])
    autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool])
    runners = f"{properties['GitHubUrl']}/api/v3/orgs/{properties['OrgName']}/actions/runners"
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "bench"}
    listed = json.loads(http.request("GET", f"{runners}?per_page=100", headers=headers).data)["runners"]
    ours = [runner["id"] for runner in listed if any(label["name"] == pool for label in runner["labels"])]

    def remove(number):
        answer = http.request("DELETE", f"{runners}/{number}", headers=headers)
        assert answer.status == 204, answer.status

    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(remove, ours))


def handler(event, context):
    helper(event, context)
