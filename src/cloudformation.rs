//! CloudFormation's protocol.
