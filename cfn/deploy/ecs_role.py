"""ECS's service-linked role, without which the first cluster of an account may fail.

CreateCluster makes a missing one and uses it at once, when IAM may not have it everywhere yet: "Unable to assume the
service linked role". A template cannot make it, since `AWS::IAM::ServiceLinkedRole` fails where the role is there.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
https://github.com/aws/containers-roadmap/issues/2614
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from .account import Account

ROLE = "AWSServiceRoleForECS"
SERVICE = "ecs.amazonaws.com"


def make_ecs_role(account: Account) -> bool:
    """Makes the role if it is not there; whether it did. A refusal is a warning: the function itself needs no role."""
    iam = account.client("iam")
    try:
        iam.get_role(RoleName=ROLE)
        return False
    except iam.exceptions.NoSuchEntityException:
        state = "is not there"
    except (BotoCoreError, ClientError):
        state = "could not be looked up"
    try:
        iam.create_service_linked_role(AWSServiceName=SERVICE)
    except (BotoCoreError, ClientError) as error:
        # The code, InvalidInput, is that of other mistakes as well.
        if "has been taken in this account" not in str(error):
            print(
                f"warning: ECS's role {ROLE} {state}, and could not be made: {error}\n"
                "  Without it the first cluster of an account may fail. An administrator makes it, once per account:\n"
                f"  aws iam create-service-linked-role --aws-service-name {SERVICE}"
            )
        return False
    print(f"role {ROLE}: made, for the first ECS cluster of this account")
    return True
