//! One try of one step: what is asked, and whether the answer settles it.

use super::Drive;
use crate::plan::Plan;
use crate::scenario::Step;
use crate::told::Told;
use mosaic_common::proto::agent::v1::{GetRequest, KillAllRequest, ReleaseRequest};
use tonic::{Code, Status};

/// Why a step is tried again.
pub(super) enum Again {
    /// Whoever was asked is away, or busy with it.
    NotYet,
    /// It will never be: this was refused.
    Never(Status),
}

impl Drive<'_> {
    /// Tries a step once.
    pub(super) async fn attempt(&mut self, step: &Step) -> Result<(), Again> {
        let site = self.world.site().to_owned();
        match step {
            Step::Spawn(plan) => {
                let request = plan.spawn(self.world);
                answered(self.hub.spawn(request).await).map(drop)
            }
            Step::Kill(plan, command) => {
                let mut request = plan.kill(self.world);
                request.command_id.clone_from(command);
                let killed = answered(self.hub.kill(request).await)?;
                let is_proved = killed.into_inner().outcome().is_proof();
                is_proved.then_some(()).ok_or(Again::NotYet)
            }
            Step::KillAll(command) => {
                let request = KillAllRequest {
                    site,
                    command_id: command.clone(),
                    reason: "chaos".to_owned(),
                };
                answered(self.hub.kill_all(request).await).map(drop)
            }
            Step::Release(command) => {
                let request = ReleaseRequest {
                    site,
                    command_id: command.clone(),
                };
                answered(self.hub.release(request).await).map(drop)
            }
            Step::Begun(plan) if self.world.witness.of_agent(&plan.agent).begun > 0 => Ok(()),
            Step::Begun(plan) | Step::Ended(plan) => {
                let told = self.told(plan).await?;
                told.is_over().then_some(()).ok_or(Again::NotYet)
            }
            Step::Arm | Step::Ambush(_) | Step::Drain | Step::Rest => Ok(()),
        }
    }

    async fn told(&mut self, plan: &Plan) -> Result<Told, Again> {
        let request = GetRequest {
            agent_id: plan.agent.clone(),
            ..GetRequest::default()
        };
        let answer = answered(self.spoke.get(request).await)?.into_inner();
        let agent = answer.agent.ok_or(Again::NotYet)?;
        Ok(Told::of(&agent))
    }
}

fn answered<T>(answer: Result<T, Status>) -> Result<T, Again> {
    answer.map_err(|status| match status.code() {
        // Somebody is away, or does it already; or the connection broke under the call.
        Code::Unavailable
        | Code::Aborted
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal => Again::NotYet,
        _ => Again::Never(status),
    })
}
