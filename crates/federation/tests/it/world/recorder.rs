//! A spoke's execution that notes what it is asked, and answers as it is told.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{CommandId, Refusal};
use mosaic_federation::execute::{Answer, Execute};
use mosaic_federation::verify::VerifiedCommand;
use std::sync::Mutex;
use tokio::sync::Semaphore;

/// Notes what it is asked, and answers as it is told.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) done: Mutex<Vec<(CommandId, CommandKind)>>,
    pub(crate) admit: Mutex<Option<Refusal>>,
    pub(crate) refuse: Mutex<Option<Refusal>>,
    pub(crate) gate: Semaphore,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            done: Mutex::default(),
            admit: Mutex::default(),
            refuse: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Recorder {
    pub(crate) fn count(&self) -> usize {
        self.done.lock().unwrap().len()
    }
}

#[async_trait::async_trait]
impl Execute for Recorder {
    fn admit(&self, _: &VerifiedCommand) -> Result<(), Refusal> {
        self.admit.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn execute(&self, command: &VerifiedCommand) -> Result<Answer, Refusal> {
        let number = {
            let mut done = self.done.lock().unwrap();
            done.push((command.id(), command.kind()));
            done.len()
        };
        drop(self.gate.acquire().await.unwrap());
        if let Some(refusal) = self.refuse.lock().unwrap().clone() {
            return Err(refusal);
        }
        Ok(Answer {
            agent: command.agent().cloned(),
            result: Bytes::from(format!("answer {number}")),
        })
    }

    async fn open(
        &self,
        command: &VerifiedCommand,
    ) -> Result<BoxStream<'static, Result<Bytes, Refusal>>, Refusal> {
        self.done
            .lock()
            .unwrap()
            .push((command.id(), command.kind()));
        let items = ["one", "two"].map(|text| Ok(Bytes::from(text)));
        Ok(stream::iter(items).chain(stream::pending()).boxed())
    }
}
