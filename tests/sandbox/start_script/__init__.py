"""What runs the start script as a task does: the container, the ECS agent, the way to AWS, and the function."""
