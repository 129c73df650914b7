"""What MiniStack's DynamoDB lacks: fine-grained policies, policies of tables, and Lambda's way of polling a stream."""
