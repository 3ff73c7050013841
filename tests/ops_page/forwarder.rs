//! An address that stays while the node behind it changes, like a load balancer's.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Forwards connections until it is dropped.
pub(crate) struct Forwarder {
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    to: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Forwarder {
    /// Forwards to this `http://host:port`.
    pub(crate) async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = Arc::new(Mutex::new(address(to)));
        let target = Arc::clone(&to);
        let task = tokio::spawn(async move {
            loop {
                let Ok((mut from, _)) = listener.accept().await else {
                    break;
                };
                let target = target.lock().unwrap().clone();
                tokio::spawn(async move {
                    // Nobody there: the connection ends, as it does with a node that is down.
                    if let Ok(mut to) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self { url, to, task }
    }

    /// New connections go there from now on.
    pub(crate) fn forward_to(&self, to: &str) {
        *self.to.lock().unwrap() = address(to);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}
