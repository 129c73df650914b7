//! CloudFormation's protocol for custom resources: requests, properties and responses.
//!
//! In reading order: [`envelope`] unwraps an event of SNS or SQS; [`request`] parses it and never loses the response URL;
//! [`properties`] turns the template's properties into a [`crate::pool::model::spec::PoolSpec`], or into one failure reason that
//! names every invalid property; [`response`] writes the body within CloudFormation's limits; [`response_sender`] sends
//! it.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>
//!
//! Nothing here prints the response URL, or the value of an environment variable or of a credential property. Anyone with
//! the URL can respond in our place.

pub mod envelope;
mod loopback;
pub mod properties;
pub mod request;
pub mod response;
pub mod response_sender;

#[cfg(test)]
mod samples;
