//! CloudFormation's protocol: what a request says, what its properties ask for, and how the answer gets back.
//!
//! In reading order: [`envelope`] takes an event out of what SNS or SQS wrapped it into; [`request`] takes the raw event apart and never loses the address of the answer; [`properties`]
//! turns the template's strings into a [`crate::pool::model::spec::PoolSpec`] or into one text that names all that is wrong;
//! [`response`] writes the answer within CloudFormation's bounds; [`answer`] delivers it.
//!
//! The contract: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>.
//!
//! Nothing in here prints the response URL, the value of a variable or of a credential property. Whoever holds the URL
//! can answer in our place.

pub mod answer;
pub mod envelope;
mod loopback;
pub mod properties;
pub mod request;
pub mod response;

#[cfg(test)]
mod samples;
