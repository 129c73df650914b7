"""Unit tests of cfn/deploy, without an account. tests/sandbox/test_deploy.py runs it against a local AWS."""
