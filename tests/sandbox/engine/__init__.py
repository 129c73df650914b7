"""A local AWS with a real CloudFormation engine, ECS on EC2 as it is documented, and GitHub with runners.

MiniStack is the AWS; this package is loaded into its process and replaces what it lacks. Nothing here is part of the
product: it is the world that the product is tried in.
"""
