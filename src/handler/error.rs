//! The errors that fail an invocation.

use crate::reconcile::ports::{DeliveryError, RemoteCallError};

/// An error that fails the invocation, so that Lambda retries its event.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// CloudFormation did not accept the response.
    #[error("the response was not delivered")]
    ResponseNotDelivered(#[from] DeliveryError),
    /// The function could not invoke itself to continue.
    #[error("the function could not be invoked again to continue")]
    ContinuationNotSent(#[source] RemoteCallError),
    /// An instance still waits for the launch hook.
    #[error("the instance could not be let into its Auto Scaling group")]
    LaunchNotCompleted(#[source] RemoteCallError),
    /// A stack may wait for a response, and there is nowhere to send one.
    #[error("no response can be sent: {0}")]
    NoResponseUrl(&'static str),
}
