"""What the tool says when it does not go on."""


class Refused(Exception):
    """What stands in the way, and what to do."""
