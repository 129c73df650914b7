// A pool in an AWS CDK app: pool.yaml, with parameters. Copy both files, then: npx cdk deploy --app "npx tsx cdk.ts"
import { App, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';

const app = new App();
const stack = new Stack(app, 'runners');
const pool = new CfnInclude(stack, 'Pool', {
  templateFile: 'pool.yaml',
  parameters: { OrgName: 'acme', DesiredCount: 4, VpcId: 'vpc-0a1b2c3d', Subnets: ['subnet-0a1b2c3d'] },
});
stack.exportValue(pool.getResource('Runners').getAtt('RunnerLabel'));
