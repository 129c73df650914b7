"""Auto Scaling groups that launch and terminate machines, with protection, hooks and activities.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/
"""
