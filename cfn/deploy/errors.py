"""Errors that the user can do something about."""


class DeployError(Exception):
    """What is wrong, and what to do: `<Variable or thing>: <what is wrong>. <What to do>.`"""
