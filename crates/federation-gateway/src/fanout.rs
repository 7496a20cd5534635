//! Asks many sites at once. A slow site delays no other, and one that does not answer is named.

use crate::sites::Site;
use futures_util::future::join_all;
use mosaic_common::Refusal;
use mosaic_common::proto::agent::v1::Unreachable;

/// What the sites said.
#[derive(Debug)]
pub struct Answers<T> {
    /// Site and answer, in the order of the configuration.
    pub answered: Vec<(Site, T)>,
    /// Sites that did not answer, or refused, and why.
    pub unreachable: Vec<Unreachable>,
}

/// Asks every site at once and waits for all; each has its own time-out.
pub async fn ask<T, F>(sites: Vec<Site>, request: impl Fn(Site) -> F) -> Answers<T>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let asked = sites.into_iter().map(|site| {
        let answer = request(site.clone());
        async move { (site, answer.await) }
    });
    let mut answers = Answers {
        answered: Vec::new(),
        unreachable: Vec::new(),
    };
    for (site, answer) in join_all(asked).await {
        match answer {
            Ok(answer) => answers.answered.push((site, answer)),
            Err(refusal) => answers.unreachable.push(Unreachable {
                site: site.name().to_string(),
                detail: refusal.to_string(),
            }),
        }
    }
    answers
}
