"""GitHub's service of runner scale sets: sets, sessions, queues of messages, runners.

The wire format is that of the reference client, https://github.com/actions/scaleset. What that leaves open comes from
issues that cite the service's answers; each is named where it matters.
"""
