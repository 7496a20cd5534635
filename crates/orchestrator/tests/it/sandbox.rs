//! What every sandbox must keep to, proved on each one with real processes; and what an agent in
//! a namespace cannot do, however hard it tries.

/// Makes one test of each claim for each sandbox. A claim takes a [`bench::Bench`].
macro_rules! contract {
    ($($claim:ident),* $(,)?) => {
        mod bubblewrap {
            $(#[tokio::test]
            async fn $claim() {
                if let Some(bench) = crate::sandbox::bench::Bench::bubblewrap().await {
                    super::$claim(&bench).await;
                }
            })*
        }
        mod process {
            $(#[tokio::test]
            async fn $claim() {
                if let Some(bench) = crate::sandbox::bench::Bench::process() {
                    super::$claim(&bench).await;
                }
            })*
        }
    };
}

pub(crate) mod bench;
mod deaths;
mod endings;
mod hostile;
mod outputs;
mod starts;
