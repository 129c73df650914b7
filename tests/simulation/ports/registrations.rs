//! The registrations table, as the function reaches it.

use github_runner_pool::pool::model::registration::{RegistrationAnswer, RegistrationRequest};
use github_runner_pool::pool::model::remote_error::RemoteService;
use github_runner_pool::reconcile::ports::{AnswerWrite, Deregistration, Registrations, RemoteResult};

use super::Port;
use crate::lambda::Origin;
use crate::world::World;

impl Registrations for Port {
    async fn request(&self, key: &str) -> RemoteResult<Option<RegistrationRequest>> {
        // A strongly consistent read.
        self.call(RemoteService::DynamoDb, "GetItem", |world| Ok(world.read_request(key))).await
    }

    async fn answer(&self, request: &RegistrationRequest, answer: &RegistrationAnswer) -> RemoteResult<AnswerWrite> {
        let effect = |world: &mut World| Ok(world.planted_registration(&request.key, answer.to_text().expose()));
        self.call(RemoteService::DynamoDb, "UpdateItem", effect).await
    }
}

impl World {
    /// A registration was deleted by an invocation that no request of CloudFormation is behind.
    pub(super) fn note_background_deregistration(&mut self, invocation: u64, result: Deregistration) {
        let origin = self.lambda.invocations.get(&invocation).map(|it| it.delivery.origin);
        match (origin, result) {
            (Some(Origin::Tick), Deregistration::Deleted) => {
                self.occur("transition", "registration removed by the sweep");
            }
            (Some(Origin::Stream(_)), Deregistration::Deleted) => {
                self.occur("transition", "registration removed by the function that made it");
            }
            _ => {}
        }
    }
}
