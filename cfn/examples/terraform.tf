# A pool in Terraform: the stack of pool.yaml. Copy both files. Terraform waits as long as CloudFormation does.
resource "aws_cloudformation_stack" "runners" {
  name          = "runners"
  template_body = file("${path.module}/pool.yaml")
  capabilities  = ["CAPABILITY_IAM"]
  parameters    = { OrgName = "acme", DesiredCount = 4, VpcId = "vpc-0a1b2c3d", Subnets = "subnet-0a1b2c3d" }
  timeouts {
    create = "2h"
    update = "3h"
    delete = "2h"
  }
}
output "runner_label" { value = aws_cloudformation_stack.runners.outputs["RunnerLabel"] }
