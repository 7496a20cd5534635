//! Signed status through hub and spoke against the same two hops of bare tonic.

use crate::floor::{self, Floor, Messages};
use crate::lab::Lab;
use crate::report::{Against, Measured, Row};
use crate::site::{self, CLIENT, Site};
use anyhow::Context;
use bytes::Bytes;
use mosaic_common::envelope::{PROTOCOL, seal};
use mosaic_common::keys::{SigningKey, sha256};
use mosaic_common::proto::agent::v1::{GetRequest, GetResponse};
use mosaic_common::proto::federation::v1::{
    ExecuteRequest, ExecuteResponse, Receipt, ReceiptStatus,
};
use mosaic_common::proto::timestamp;
use mosaic_common::{Clock, CommandId, SystemClock};
use mosaic_federation::connection;
use mosaic_federation::identity::Identity;
use mosaic_federation::issuer::{Issuer, Origin};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The most that the median may be of the floor's.
const AIM: f64 = 2.5;

/// Between two blocks: what hub and spoke still write down of the last calls, after they have
/// answered them, is not to be paid by the floor.
const SETTLE: Duration = Duration::from_millis(100);

/// Measures with one caller and with 64 at a time, which is what one connection allows.
pub(crate) async fn measure(lab: &Lab) -> Vec<Row> {
    // Calls of each caller in a block.
    let sizes = [(1, lab.often(400, 20)), (64, lab.often(40, 2))];
    let scene = Scene::set(lab).await;
    let mut rows = Vec::new();
    for (callers, calls) in sizes {
        let measured = match &scene {
            Ok(scene) => scene.compare(callers, calls, lab.often(20, 2)).await,
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        let name = format!("signed status through hub and spoke, {callers} at a time");
        rows.push(Row::new(
            &name,
            measured.map(|measured| measured.aiming(AIM)),
        ));
    }
    rows
}

/// Both ways, up at once.
struct Scene {
    client: site::Client,
    floor: Floor,
    request: GetRequest,
    // Held to the end: dropping it ends the processes.
    _site: Site,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn set(lab: &Lab) -> anyhow::Result<Self> {
        let folder = lab.folder()?;
        let site = lab.site(folder.path()).await?;
        let mut client = site.at_hub().await?;
        let agent = crate::agent::spawn(&mut client, crate::agent::IDLE, "").await?;
        let request = GetRequest {
            site: String::new(),
            agent_id: agent,
        };
        let response = client.get(request.clone()).await?.into_inner();
        let messages = messages(&site, &request, response)?;
        let floor = Floor::start(site.folder(), site::SPOKE, &messages).await?;
        Ok(Self {
            client,
            floor,
            request,
            _site: site,
            _folder: folder,
        })
    }

    async fn compare(
        &self,
        callers: usize,
        calls: usize,
        rounds: usize,
    ) -> anyhow::Result<Measured> {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        // The first round warms up: connections, caches, processors.
        for round in 0..=rounds {
            let (taken, least) = (
                self.ours(callers, calls).await?,
                self.floor(callers, calls).await?,
            );
            if round > 0 {
                ours.extend(taken);
                floor.extend(least);
            }
        }
        Measured::times(ours, floor, Against::Ratio)
    }

    async fn ours(&self, callers: usize, calls: usize) -> anyhow::Result<Vec<f64>> {
        let (client, request) = (self.client.clone(), self.request.clone());
        block(callers, calls, move || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { Ok(client.get(request).await.map(drop)?) }
        })
        .await
    }

    async fn floor(&self, callers: usize, calls: usize) -> anyhow::Result<Vec<f64>> {
        let (channel, request) = (self.floor.channel(), self.request.clone());
        block(callers, calls, move || {
            let (channel, request) = (channel.clone(), request.clone());
            async move { floor::get(channel, request).await.map(drop) }
        })
        .await
    }
}

/// So many callers, each calling again as soon as it is answered. Returns each call's milliseconds.
async fn block<F>(
    callers: usize,
    calls: usize,
    call: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<Vec<f64>>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    tokio::time::sleep(SETTLE).await;
    let mut working = JoinSet::new();
    for _ in 0..callers {
        let call = call.clone();
        working.spawn(async move {
            let mut taken = Vec::with_capacity(calls);
            for _ in 0..calls {
                let begun = Instant::now();
                call().await?;
                taken.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(taken)
        });
    }
    let mut all = Vec::new();
    while let Some(taken) = working.join_next().await {
        all.extend(taken??);
    }
    Ok(all)
}

/// The messages of this very status call, as they travel between this hub and this spoke. Only
/// the receipt's signature is another: it is as long as the spoke's own.
fn messages(site: &Site, request: &GetRequest, response: GetResponse) -> anyhow::Result<Messages> {
    let hub = site.folder().join("hub");
    let peers = connection::load_spokes(&hub.join("connections.toml"))?;
    let peer = peers.first().context("there is no connection")?;
    let issuer = Issuer::new(
        &Identity::load(&hub.join("identity"))?,
        Arc::new(SystemClock),
    );
    let origin = Origin {
        on_behalf_of: CLIENT.to_owned(),
        ..Origin::default()
    };
    let id = CommandId::random();
    let command = issuer.command(peer, id, request, &origin);
    let receipt = Receipt {
        protocol: PROTOCOL,
        request_sha256: Bytes::copy_from_slice(&sha256(&request.encode_to_vec())),
        command_id: Bytes::copy_from_slice(id.as_bytes()),
        issuer: site::SPOKE.to_owned(),
        audience: site::HUB.to_owned(),
        connection_id: peer.id.to_string(),
        connection_epoch: peer.epoch,
        sequence: 1000,
        agent_id: request.agent_id.clone(),
        issued_at: Some(timestamp(SystemClock.now())),
        status: ReceiptStatus::Ok.into(),
        result: response.encode_to_vec().into(),
        ..Receipt::default()
    };
    let (key, _) = SigningKey::generate();
    Ok(Messages {
        response,
        command: ExecuteRequest {
            envelope: Some(command.envelope().clone()),
        },
        receipt: ExecuteResponse {
            receipt: Some(seal(&receipt, &key)),
        },
    })
}
