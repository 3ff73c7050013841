//! A receiver of hooks that misbehaves as a test wants, alone or in front of the service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::support::app::NodeClient;

/// What a test may look at before it decides.
pub(crate) struct Request {
    /// 0 for the first one.
    pub(crate) number: usize,
    /// How often the same body came before.
    pub(crate) seen_before: usize,
    /// `event_type` of the body.
    pub(crate) event: String,
}

/// What is answered.
pub(crate) enum Says {
    /// What the service would say; nothing is stored.
    Right,
    /// Nothing but this status.
    Status(u16),
    /// The right answer, after this time.
    RightAfter(Duration),
    /// The hook goes to the service, and its answer comes back.
    Forwarded,
    /// The hook goes to the service, its answer is thrown away, 502 comes back.
    ForwardedAndLost,
}

/// Stopped on drop.
pub(crate) struct Receiver {
    url: String,
    server: ServerHandle,
}

impl Receiver {
    /// Stands alone and knows no order.
    pub(crate) fn start(says: impl Fn(&Request) -> Says + Send + Sync + 'static) -> Self {
        Self::start_with(None, says)
    }

    /// Stands in front of a node.
    pub(crate) fn in_front_of(node: &NodeClient, says: impl Fn(&Request) -> Says + Send + Sync + 'static) -> Self {
        Self::start_with(Some(node.clone()), says)
    }

    fn start_with(node: Option<NodeClient>, says: impl Fn(&Request) -> Says + Send + Sync + 'static) -> Self {
        let (says, numbers) = (Arc::new(says), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::new(Mutex::new(HashMap::<web::Bytes, usize>::new()));
        let server = HttpServer::new(move || {
            let (says, numbers, node) = (Arc::clone(&says), Arc::clone(&numbers), node.clone());
            let seen = Arc::clone(&seen);
            let hook = move |body: web::Bytes| {
                let mut seen = seen.lock().unwrap();
                let times = seen.entry(body.clone()).or_default();
                let request = Request {
                    number: numbers.fetch_add(1, Ordering::Relaxed),
                    seen_before: std::mem::replace(times, *times + 1),
                    event: event_type(&body),
                };
                answer(says(&request), node.clone(), body)
            };
            App::new()
                .route("/sbermarket/orders/hook/", web::post().to(hook))
                .default_service(web::to(HttpResponse::NotFound))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { url, server: handle }
    }

    /// For hooks and operations.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The command is sent when it is made; the test's runtime may end before it is done.
        drop(self.server.stop(false));
    }
}

fn event_type(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["event_type"].as_str().unwrap().to_owned()
}

async fn answer(says: Says, node: Option<NodeClient>, body: web::Bytes) -> HttpResponse {
    let right = if event_type(&body) == "order.created" {
        json!({"status": "created", "number": "1", "expectedAssemblyTime": "2026-11-24T15:00:00+00:00"})
    } else {
        json!({"status": "ok"})
    };
    match says {
        Says::Right => HttpResponse::Ok().json(right),
        Says::Status(status) => HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish(),
        Says::RightAfter(delay) => {
            tokio::time::sleep(delay).await;
            HttpResponse::Ok().json(right)
        }
        Says::Forwarded => {
            let (status, answer) = node.unwrap().send(body.to_vec()).await;
            HttpResponse::build(StatusCode::from_u16(status.as_u16()).unwrap()).json(answer)
        }
        Says::ForwardedAndLost => {
            node.unwrap().send(body.to_vec()).await;
            HttpResponse::BadGateway().finish()
        }
    }
}
