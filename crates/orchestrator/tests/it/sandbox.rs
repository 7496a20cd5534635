//! What every sandbox must keep to, proved on each one with real processes; and what an agent in
//! a namespace cannot do, however hard it tries.

/// Makes one test of each claim for each sandbox named. A claim takes a [`bench::Bench`].
macro_rules! claims {
    ([$($sandbox:ident),*] $claims:tt) => {
        $(claims!(@ $sandbox $claims);)*
    };
    (@ $sandbox:ident [$($claim:ident),* $(,)?]) => {
        mod $sandbox {
            $(#[tokio::test]
            async fn $claim() {
                if let Some(bench) = crate::sandbox::bench::Bench::$sandbox().await {
                    super::$claim(&bench).await;
                }
            })*
        }
    };
}

/// What every sandbox keeps to.
macro_rules! contract {
    ($($claim:ident),* $(,)?) => {
        claims!([docker, bubblewrap, process] [$($claim),*]);
    };
}

mod bench;
mod deaths;
mod docker;
mod endings;
mod hostile;
mod outputs;
mod starts;
mod supervisors;
