"""ECS's service-linked role, without which the first cluster of an account may fail.

CreateCluster creates a missing role and uses it at once, before IAM has propagated it: "Unable to assume the service
linked role". A template cannot create it, since `AWS::IAM::ServiceLinkedRole` fails if the role exists.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
https://github.com/aws/containers-roadmap/issues/2614
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from .account import Account
from .output import say

ROLE = "AWSServiceRoleForECS"
SERVICE = "ecs.amazonaws.com"


def create_ecs_role(account: Account) -> bool:
    """Creates the role if it does not exist, and returns whether it did. An error is a warning: not every user may."""
    iam = account.client("iam")
    try:
        iam.get_role(RoleName=ROLE)
        return False
    except iam.exceptions.NoSuchEntityException:
        state = "does not exist"
    except (BotoCoreError, ClientError):
        state = "could not be looked up"
    try:
        iam.create_service_linked_role(AWSServiceName=SERVICE)
    except (BotoCoreError, ClientError) as error:
        # The code, InvalidInput, is that of other mistakes as well.
        if "has been taken in this account" not in str(error):
            say(
                f"warning: service-linked role {ROLE} {state} and could not be created: {error}\n"
                "  Without it the first cluster of an account may fail. An administrator creates it once per account:\n"
                f"  aws iam create-service-linked-role --aws-service-name {SERVICE}"
            )
        return False
    say(f"role {ROLE}: created, for the first ECS cluster of this account")
    return True
