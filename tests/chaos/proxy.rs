//! A TCP proxy that cuts, delays, holds and refuses, at one's word.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done to connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Nobody listens, and every connection is reset.
    pub(crate) refuses: bool,
    /// Connections stay open, and nothing arrives.
    pub(crate) holds: bool,
    /// Everything arrives so much later, in both directions.
    pub(crate) delay: Duration,
}

/// Stopped on drop, with all its connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    trouble: watch::Sender<Trouble>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port and forwards to `target`, by connections from the address `from`: whoever
    /// listens there can tell several proxies apart.
    pub(crate) async fn start(port: u16, target: SocketAddr, from: IpAddr) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (trouble, seen) = watch::channel(Trouble::default());
        let listener = TcpListener::bind(address).await.unwrap();
        let serving = tokio::spawn(serve(listener, address, target, from, seen));
        Self {
            address,
            trouble,
            serving,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is done.
    pub(crate) fn makes(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }

    pub(crate) fn heals(&self) {
        self.makes(Trouble::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    from: IpAddr,
    mut trouble: watch::Receiver<Trouble>,
) {
    let of_connections = trouble.clone();
    let mut listener = Some(listener);
    // Dropped with this task, and they end with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Some(listening) = &listener else {
            if trouble.wait_for(|trouble| !trouble.refuses).await.is_err() {
                return;
            }
            listener = Some(TcpListener::bind(address).await.unwrap());
            continue;
        };
        tokio::select! {
            accepted = listening.accept() => {
                // The client may have gone at once.
                let Ok((client, _)) = accepted else { continue };
                let trouble = of_connections.clone();
                connections.spawn(async move {
                    // Whatever ends it ends both sides.
                    let _ = forward(client, target, from, trouble).await;
                });
            }
            refuses = trouble.wait_for(|trouble| trouble.refuses) => {
                if refuses.is_err() {
                    return;
                }
                drop(refuses);
                listener = None;
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(
    client: TcpStream,
    target: SocketAddr,
    from: IpAddr,
    mut trouble: watch::Receiver<Trouble>,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let server = socket.connect(target).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        // Cut means reset: nobody is told that everything has arrived.
        stream.set_zero_linger()?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (there, back) = (trouble.clone(), trouble.clone());
    let both = async { tokio::try_join!(pump(from_client, to_server, there), pump(from_server, to_client, back),) };
    tokio::pin!(both);
    tokio::select! {
        done = &mut both => done.map(|_| ()),
        _ = async { trouble.wait_for(|trouble| trouble.refuses).await.map(|_| ()) } => Ok(()),
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut trouble: watch::Receiver<Trouble>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = trouble.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // The other side of the channel goes only when all is over.
        if trouble.wait_for(|trouble| !trouble.holds).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use super::*;
    use crate::nginx::free_port;

    /// A server that says everything back, and who was the last to connect.
    async fn echo() -> (SocketAddr, watch::Receiver<Option<IpAddr>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, peer) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                seen.send_replace(Some(from.ip()));
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        (address, peer)
    }

    async fn asks(stream: &mut TcpStream) -> std::io::Result<Duration> {
        let asked = Instant::now();
        stream.write_all(b"?").await?;
        stream.read_exact(&mut [0]).await?;
        Ok(asked.elapsed())
    }

    #[tokio::test]
    async fn a_proxy_forwards_delays_holds_cuts_and_refuses() {
        let (target, peer) = echo().await;
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 13));
        let proxy = Proxy::start(free_port(), target, from).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        asks(&mut stream).await.unwrap();
        assert_eq!(*peer.borrow(), Some(from));

        let delay = Duration::from_millis(50);
        proxy.makes(Trouble {
            delay,
            ..Trouble::default()
        });
        assert!(asks(&mut stream).await.unwrap() >= 2 * delay);

        proxy.makes(Trouble {
            holds: true,
            ..Trouble::default()
        });
        let held = tokio::time::timeout(Duration::from_millis(100), asks(&mut stream)).await;
        assert!(held.is_err());
        proxy.heals();
        stream.read_exact(&mut [0]).await.unwrap();

        proxy.makes(Trouble {
            refuses: true,
            ..Trouble::default()
        });
        stream.read_exact(&mut [0]).await.unwrap_err();
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proxy.heals();
        let mut again = loop {
            if let Ok(stream) = TcpStream::connect(proxy.address()).await {
                break stream;
            }
            tokio::task::yield_now().await;
        };
        asks(&mut again).await.unwrap();
    }
}
