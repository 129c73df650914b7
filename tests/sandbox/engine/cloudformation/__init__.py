"""What CloudFormation does with custom resources and MiniStack does not.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""
