"""`make dashboard-picture`: the dashboard of cfn/operations.yaml, with the metrics of a run in the sandbox."""
