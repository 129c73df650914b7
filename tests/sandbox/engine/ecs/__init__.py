"""ECS on EC2 as it behaves: capacity providers, placement, deployments, task protection, container instances.

The texts of errors and events follow the API reference and the developer guide:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/
"""
