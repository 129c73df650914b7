// The same work by the AWS SDK for JavaScript: refuse a bad property, or delete what GitHub still lists of a pool.

import https from "node:https";
import { AutoScalingClient, DescribeAutoScalingGroupsCommand } from "@aws-sdk/client-auto-scaling";
import {
  DescribeCapacityProvidersCommand,
  DescribeServicesCommand,
  ECSClient,
  ListTasksCommand,
} from "@aws-sdk/client-ecs";
import { GetParameterCommand, SSMClient } from "@aws-sdk/client-ssm";

const ecs = new ECSClient();
const autoScaling = new AutoScalingClient();
const ssm = new SSMClient();
// As many deletions at a time as the function makes.
const LANES = 8;
const agent = new https.Agent({ keepAlive: true, maxSockets: LANES });

function call(method, url, headers, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, agent }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => resolve({ status: answer.statusCode, body: Buffer.concat(pieces).toString() }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function remove(event) {
  const { AccessTokenParameter, Cluster, GitHubUrl, OrgName } = event.ResourceProperties;
  const pool = event.PhysicalResourceId;
  const parameter = await ssm.send(new GetParameterCommand({ Name: AccessTokenParameter, WithDecryption: true }));
  await ecs.send(new DescribeServicesCommand({ cluster: Cluster, services: [pool] }));
  await ecs.send(new ListTasksCommand({ cluster: Cluster, family: pool }));
  await ecs.send(new DescribeCapacityProvidersCommand({ capacityProviders: [pool] }));
  await autoScaling.send(new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [pool] }));
  const runners = `${GitHubUrl}/api/v3/orgs/${OrgName}/actions/runners`;
  const headers = { authorization: `Bearer ${parameter.Parameter.Value}`, "user-agent": "bench" };
  const listed = JSON.parse((await call("GET", `${runners}?per_page=100`, headers)).body).runners;
  const ours = listed.filter((runner) => runner.labels.some((label) => label.name === pool));
  const lane = async () => {
    for (let runner = ours.pop(); runner; runner = ours.pop()) {
      const { status } = await call("DELETE", `${runners}/${runner.id}`, headers);
      if (status !== 204) throw new Error(`DELETE: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

export async function handler(event) {
  const known = new Set(["ServiceToken", "OrgName", "GitHubUrl", "AccessTokenParameter", "Cluster"]);
  let [status, reason] = ["SUCCESS", ""];
  try {
    const unknown = Object.keys(event.ResourceProperties).filter((name) => !known.has(name));
    if (event.RequestType === "Delete") await remove(event);
    else if (unknown.length) throw new Error(`${unknown.length} property needs attention: ${unknown[0]} is not known.`);
  } catch (error) {
    [status, reason] = ["FAILED", error.message];
  }
  const { StackId, RequestId, LogicalResourceId } = event;
  const body = JSON.stringify({
    Status: status,
    Reason: reason,
    PhysicalResourceId: event.PhysicalResourceId ?? RequestId,
    StackId,
    RequestId,
    LogicalResourceId,
  });
  await call("PUT", event.ResponseURL, { "content-length": Buffer.byteLength(body) }, body);
}
