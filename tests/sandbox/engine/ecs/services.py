"""The service operations and their errors.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
"""

from __future__ import annotations

import time

from ..handlers import AwsError, Json
from . import rollout
from .engine import Ecs
from .model import Service, Strategy, percent

# Members that are returned as they were given.
_KEPT = (
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "propagateTags",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
)
_NOT_FOUND = ("ServiceNotFoundException", "Service not found.")
MOST_DESCRIBED = 10


class Services:
    """Create, Update, Delete, Describe, List."""

    def __init__(self, engine: Ecs) -> None:
        self.engine = engine

    def create(self, data: Json) -> Json:
        engine = self.engine
        cluster = engine.cluster(data.get("cluster"))
        name = data.get("serviceName") or ""
        old = engine.service(cluster["clusterName"], name)
        if old is not None and old.status == "DRAINING":
            raise AwsError("InvalidParameterException", "Unable to Start a service that is still Draining.")
        if old is not None and old.status == "ACTIVE":
            if data.get("clientToken") and data == old.request:
                return {"service": self._to_json(old, True)}
            raise AwsError("InvalidParameterException", "Creation of service was not idempotent.")
        definition = engine.active_definition(data.get("taskDefinition"))
        if data.get("launchType") and data.get("capacityProviderStrategy"):
            raise AwsError(
                "InvalidParameterException",
                "Specifying both a launch type and capacity provider strategy "
                "is not supported. Remove one and try again.",
            )
        strategy = data.get("capacityProviderStrategy") or cluster["defaultCapacityProviderStrategy"]
        check_strategy(cluster, strategy)
        now = time.time()
        service = Service(
            arn=engine.arn(f"service/{cluster['clusterName']}/{name}"),
            name=name,
            cluster=cluster["clusterName"],
            cluster_arn=cluster["clusterArn"],
            definition_arn=definition["taskDefinitionArn"],
            desired=int(data.get("desiredCount") or 0),
            strategy=strategy,
            settings={
                "schedulingStrategy": data.get("schedulingStrategy") or "REPLICA",
                "deploymentController": data.get("deploymentController") or {"type": "ECS"},
                "availabilityZoneRebalancing": "ENABLED",
                "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
                "propagateTags": "NONE",
            },
            request=dict(data),
        )
        self._keep(service, data)
        engine.services[(service.cluster, name)] = service
        engine.put_tags(service.arn, data.get("tags"))
        engine.core.journal.event("service", "ACTIVE", service=name, desired=service.desired)
        rollout.begin(engine, service, now)
        return {"service": self._to_json(service, True)}

    def update(self, data: Json) -> Json:
        engine = self.engine
        service = self._found(data)
        if service.status != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        definition_arn = service.definition_arn
        if data.get("taskDefinition"):
            definition_arn = engine.active_definition(data["taskDefinition"])["taskDefinitionArn"]
        if data.get("capacityProviderStrategy"):
            check_strategy(engine.cluster(service.cluster), data["capacityProviderStrategy"])
        self._keep(service, data)
        service.strategy = data.get("capacityProviderStrategy") or service.strategy
        if "desiredCount" in data:
            service.desired = int(data["desiredCount"])
        fresh = definition_arn != service.definition_arn or data.get("forceNewDeployment")
        service.definition_arn = definition_arn
        now = time.time()
        if fresh:
            rollout.begin(engine, service, now)
        service.primary.desired = service.desired
        service.primary.updated_at = now
        service.steady = False
        engine.core.journal.event(
            "service", "updated", service=service.name, desired=service.desired, definition=definition_arn
        )
        return {"service": self._to_json(service, True)}

    def delete(self, data: Json) -> Json:
        service = self._found(data)
        if service.status == "INACTIVE":
            raise AwsError(*_NOT_FOUND)
        if service.desired > 0 and not data.get("force"):
            raise AwsError("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.")
        service.status = "DRAINING"
        service.desired = service.primary.desired = 0
        self.engine.core.journal.event("service", "DRAINING", service=service.name)
        return {"service": self._to_json(service, True)}

    def describe(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        references = data.get("services") or []
        if not references or len(references) > MOST_DESCRIBED:
            raise AwsError("InvalidParameterException", f"Services must have between 1 and {MOST_DESCRIBED} items.")
        tagged = "TAGS" in (data.get("include") or [])
        found, failures = [], []
        for reference in references:
            service = self.engine.service(cluster, reference)
            if service is None:
                name = reference.rsplit("/", 1)[-1]
                failures.append({"arn": self.engine.arn(f"service/{cluster}/{name}"), "reason": "MISSING"})
            else:
                found.append(self._to_json(service, tagged))
        return {"services": found, "failures": failures}

    def list(self, data: Json) -> Json:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        return {
            "serviceArns": [
                s.arn for s in self.engine.services.values() if s.cluster == cluster and s.status == "ACTIVE"
            ]
        }

    def deployments(self, data: Json) -> Json:
        """ListServiceDeployments: what DescribeServices calls deployments, in the newer form."""
        service = self._found(data)
        states = {"COMPLETED": "SUCCESSFUL", "FAILED": "STOPPED"}
        return {
            "serviceDeployments": [
                {
                    "serviceDeploymentArn": self.engine.arn(
                        f"service-deployment/{service.cluster}/{service.name}/{d.id.rsplit('/', 1)[-1]}"
                    ),
                    "serviceArn": service.arn,
                    "clusterArn": service.cluster_arn,
                    "createdAt": d.created_at,
                    "startedAt": d.created_at,
                    "status": states.get(d.rollout_state, d.rollout_state),
                    "statusReason": d.rollout_reason,
                }
                for d in service.deployments
            ]
        }

    def _found(self, data: Json) -> Service:
        cluster = self.engine.cluster(data.get("cluster"))["clusterName"]
        service = self.engine.service(cluster, data.get("service"))
        if service is None:
            raise AwsError(*_NOT_FOUND)
        return service

    def _to_json(self, service: Service, tagged: bool) -> Json:
        tags = self.engine.tags(service.arn) if tagged else []
        return service.to_json(self.engine.tasks_of(service), tags)

    @staticmethod
    def _keep(service: Service, data: Json) -> None:
        """Applies the settings, or fails and leaves the service unchanged."""
        settings = {**service.settings, **{key: data[key] for key in _KEPT if data.get(key) is not None}}
        _check_percents(settings)
        service.settings = settings


def _check_percents(settings: Json) -> None:
    """The pairs of percentages that ECS accepts.

    The second text is that of CreateService; that UpdateService checks the same is the harsher reading of
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    """
    ceiling = percent(settings, "maximumPercent", 200)
    if settings.get("availabilityZoneRebalancing") == "ENABLED" and ceiling <= 100:
        raise AwsError(
            "InvalidParameterException",
            "Availability Zone rebalancing does not support maximumPercent less than or equal to 100.",
        )
    if ceiling == 100 and percent(settings, "minimumHealthyPercent", 100) == 100:
        raise AwsError(
            "InvalidParameterException",
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments",
        )


def check_strategy(cluster: Json, strategy: Strategy) -> None:
    """The providers of a service's or a task's strategy, which are made names."""
    if not strategy:
        raise AwsError("InvalidParameterException", "No launch type or capacity provider strategy was given.")
    for item in strategy:
        item["capacityProvider"] = item["capacityProvider"].rsplit("/", 1)[-1]
        if item["capacityProvider"] not in cluster["capacityProviders"]:
            raise AwsError(
                "InvalidParameterException",
                "The specified capacity provider strategy cannot contain a "
                "capacity provider that is not associated with the cluster. Associate the capacity "
                "provider with the cluster and try again.",
            )
    if not any(item.get("weight", 0) > 0 for item in strategy):
        raise AwsError(
            "InvalidParameterException",
            "The specified capacity provider strategy must contain at "
            "least one capacity provider with a weight value greater than zero.",
        )
