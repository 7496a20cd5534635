//! The ten steps between a peer's bytes and a command that may be carried out.
//!
//! 1 and 2 (who may speak, and how fast) are the listener's and the server's; 3 to 10 are here,
//! in the order of `docs/protocol.md`, and the first failure ends it. Up to step 7 the sender is
//! not proven: it learns only *rejected*. From step 8 on a refusal goes out as a signed receipt.

mod body;
mod command;
mod proof;
mod window;

pub use command::VerifiedCommand;
pub(crate) use proof::is_traceparent;
pub use proof::{Proven, Rejection};
pub(crate) use window::{LIFETIME_MAX, SKEW};

use crate::connection::{ConnectionState, HubPeer, Live};
use crate::execute::Execute;
use crate::kind::Carriage;
use crate::ledger::{Claim, Claimed, Ledger};
use mosaic_common::proto::federation::v1::{CommandKind, Envelope};
use mosaic_common::{Alias, Clock, Reason, Refusal};
use std::sync::Arc;

/// Which call a command came in: each takes only the kinds it can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// One answer.
    Execute,
    /// A receipt and a stream.
    Open,
}

impl Call {
    fn carries(self, carriage: Carriage) -> bool {
        match carriage {
            Carriage::Act | Carriage::Read => self == Self::Execute,
            Carriage::Stream => self == Self::Open,
        }
    }
}

/// What came of a command whose sender is proven.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It passed all ten steps and is claimed: carry it out.
    Execute(Box<VerifiedCommand>, Claim),
    /// It was answered before: these are the receipt's bytes.
    Repeat(Envelope),
    /// It is refused, with a receipt.
    Refused(Refusal),
}

/// Takes commands through steps 3 to 10.
#[derive(Debug, Clone)]
pub struct Verifier {
    spoke: Alias,
    site: Alias,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
}

impl Verifier {
    /// The verifier of a spoke: its id, the name of its site, and its memory of commands.
    #[must_use]
    pub fn new(spoke: Alias, site: Alias, clock: Arc<dyn Clock>, ledger: Arc<Ledger>) -> Self {
        Self {
            spoke,
            site,
            clock,
            ledger,
        }
    }

    /// Steps 3 to 7: whose command this is.
    ///
    /// # Errors
    /// The check that failed, for the log alone.
    pub fn prove(
        &self,
        connection: Arc<Live<HubPeer>>,
        call: Call,
        envelope: &Envelope,
    ) -> Result<Proven, Rejection> {
        proof::prove(&self.spoke, connection, call, envelope)
    }

    /// Steps 8 to 10: whether it may be carried out, here and now.
    pub(crate) async fn verify(&self, proven: &Proven, execute: &dyn Execute) -> Verdict {
        let command = match self.judge(proven) {
            Ok(command) => command,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        // What is asked of the spoke comes after the look for an earlier answer:
        // a repeat has its place already.
        let claimed = self
            .ledger
            .claim(&command, || execute.admit(&command))
            .await;
        match claimed {
            Ok(Claimed::Fresh(claim)) => Verdict::Execute(Box::new(command), claim),
            Ok(Claimed::Repeat(receipt)) => Verdict::Repeat(receipt),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Steps 8 and 9: the clock, the state of the connection, the grant.
    fn judge(&self, proven: &Proven) -> Result<VerifiedCommand, Refusal> {
        let fence = self.ledger.fence();
        window::check(proven.issued_at, proven.expires_at, self.clock.now(), fence)?;
        let peer = proven.connection.peer();
        if peer.state == ConnectionState::Suspended && !allowed_while_suspended(proven.kind) {
            let problem = "the connection is suspended: status and kill only";
            return Err(Refusal::new(Reason::ConnectionSuspended, problem));
        }
        peer.grant.check_kind(proven.kind)?;
        let agent = body::check(proven, &self.site)?;
        Ok(VerifiedCommand::new(proven.clone(), agent))
    }
}

fn allowed_while_suspended(kind: CommandKind) -> bool {
    matches!(kind, CommandKind::Status | CommandKind::Kill)
}
