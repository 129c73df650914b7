"""What the tool says when it does not go on."""


class DeployError(Exception):
    """What stands in the way, and what to do."""
