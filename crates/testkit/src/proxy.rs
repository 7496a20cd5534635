//! A TCP proxy that does to connections what networks do. What it does can be changed at any time
//! and holds at once, also for connections that are open.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// They are closed, and new ones are closed at once.
    Cut,
    /// They stay open, and everything on them is swallowed; for good, as where a box on the way
    /// has forgotten them.
    HalfOpen,
    /// Every piece is late by this much.
    Delay(Duration),
    /// They are reset.
    Reset,
    /// Every byte travels alone.
    ByteByByte,
    /// New ones wait until [`FaultProxy::let_go`], so that younger ones overtake them.
    Hold,
}

/// A proxy before one address. Ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    let_go: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy to `target` that passes everything on.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(Fault::Pass);
        let (let_go, gone) = watch::channel(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(client, target, faults.clone(), gone.clone()));
            }
        });
        Self {
            address,
            fault,
            let_go,
            accepted,
            task,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Lets connections go that are held.
    pub fn let_go(&self) {
        self.let_go.send_modify(|times| *times += 1);
    }

    /// Connections that came so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    client: TcpStream,
    target: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    mut let_go: watch::Receiver<u64>,
) {
    let fault = *faults.borrow_and_update();
    match fault {
        Fault::Cut => return,
        Fault::Reset => return client.set_zero_linger().unwrap(),
        Fault::HalfOpen => return swallow(client, faults).await,
        Fault::Hold => {
            let_go.mark_unchanged();
            if let_go.changed().await.is_err() {
                return;
            }
        }
        Fault::Pass | Fault::Delay(_) | Fault::ByteByByte => {}
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = tokio::spawn(pump(from_client, to_server, faults.clone()));
    let mut down = tokio::spawn(pump(from_server, to_client, faults.clone()));
    tokio::select! { _ = &mut up => {} _ = &mut down => {} }
    if *faults.borrow() == Fault::Reset {
        // Both see it: whoever was stopped from outside would say good-bye first.
        tokio::select! { _ = &mut up, if !up.is_finished() => {} _ = &mut down, if !down.is_finished() => {} else => {} }
    }
    up.abort();
    down.abort();
}

/// Reads and throws away, until the connection is cut or reset.
async fn swallow(mut socket: TcpStream, mut faults: watch::Receiver<Fault>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = socket.read(&mut buffer) => if read.unwrap_or(0) == 0 { return },
            changed = faults.changed() => match *faults.borrow_and_update() {
                Fault::Reset => return socket.set_zero_linger().unwrap(),
                Fault::Cut => return,
                _ if changed.is_err() => return,
                _ => {}
            },
        }
    }
}

/// Carries one direction, until it ends, or is cut or reset.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
) -> Option<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => Some(read.ok().filter(|size| *size > 0)?),
            changed = faults.changed() => changed.ok().map(|()| None)?,
        };
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::Cut => return None,
            Fault::Reset => return reset(&from, to),
            Fault::HalfOpen => is_lost = true,
            Fault::Delay(late) if read.is_some() => tokio::time::sleep(late).await,
            Fault::Pass | Fault::Hold | Fault::ByteByByte | Fault::Delay(_) => {}
        }
        let Some(size) = read.filter(|_| !is_lost) else {
            continue;
        };
        let step = if fault == Fault::ByteByByte { 1 } else { size };
        for piece in buffer[..size].chunks(step) {
            to.write_all(piece).await.ok()?;
        }
    }
}

fn reset(from: &OwnedReadHalf, to: OwnedWriteHalf) -> Option<()> {
    for socket in [from.as_ref(), to.as_ref()] {
        socket.set_zero_linger().ok()?;
    }
    to.forget(); // it would shut the connection down in good order
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::time::{Instant, timeout};

    /// Long enough that an answer would have come.
    const A_WHILE: Duration = Duration::from_millis(200);

    /// A proxy to a server that sends back what it gets.
    async fn echo() -> FaultProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        FaultProxy::to(address).await
    }

    async fn client(proxy: &FaultProxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.unwrap()
    }

    async fn say(socket: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        socket.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        socket.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bytes_pass_also_late_and_one_by_one() {
        let proxy = echo().await;
        let mut socket = client(&proxy).await;
        for fault in [Fault::Pass, Fault::ByteByByte, Fault::Delay(A_WHILE)] {
            proxy.set(fault);
            let begun = Instant::now();
            assert_eq!(say(&mut socket, b"hello").await.unwrap(), b"hello");
            assert_eq!(begun.elapsed() >= A_WHILE, fault == Fault::Delay(A_WHILE));
        }
        assert_eq!(proxy.accepted(), 1);
    }

    #[tokio::test]
    async fn open_and_new_connections_are_cut_or_reset() {
        for (fault, kind) in [
            (Fault::Cut, None),
            (Fault::Reset, Some(ErrorKind::ConnectionReset)),
        ] {
            let proxy = echo().await;
            let mut old = client(&proxy).await;
            say(&mut old, b"x").await.unwrap();
            proxy.set(fault);
            let mut new = client(&proxy).await;
            for socket in [&mut old, &mut new] {
                let end = timeout(Duration::from_secs(5), socket.read(&mut [0])).await;
                let end = end.unwrap().map_err(|error| error.kind());
                assert_eq!(end, kind.map_or(Ok(0), Err), "{fault:?}");
            }
            proxy.set(Fault::Pass);
            say(&mut client(&proxy).await, b"x").await.unwrap();
        }
    }

    #[tokio::test]
    async fn half_open_connections_stay_open_and_never_answer_again() {
        let proxy = echo().await;
        let mut old = client(&proxy).await;
        say(&mut old, b"x").await.unwrap();
        proxy.set(Fault::HalfOpen);
        let mut new = client(&proxy).await;
        for socket in [&mut old, &mut new] {
            assert!(timeout(A_WHILE, say(socket, b"x")).await.is_err());
        }
        proxy.set(Fault::Pass);
        assert!(timeout(A_WHILE, say(&mut old, b"y")).await.is_err());
        say(&mut client(&proxy).await, b"z").await.unwrap();
    }

    #[tokio::test]
    async fn a_younger_connection_overtakes_one_that_is_held() {
        let proxy = echo().await;
        proxy.set(Fault::Hold);
        let mut old = client(&proxy).await;
        assert!(timeout(A_WHILE, say(&mut old, b"x")).await.is_err());
        proxy.set(Fault::Pass);
        say(&mut client(&proxy).await, b"y").await.unwrap();
        proxy.let_go();
        let mut late = [0];
        old.read_exact(&mut late).await.unwrap();
        assert_eq!(late, *b"x");
    }
}
