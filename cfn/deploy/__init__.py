"""Deploys the function behind `Custom::GitHubRunnerPool`, and its stack. Run by `make`: `python -m cfn.deploy`."""
