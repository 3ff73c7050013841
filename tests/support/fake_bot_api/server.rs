//! The HTTP side: methods by name in any case, JSON or form bodies, connections that can be cut.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Map, Value, json};

use super::rules::{self, Reply, Sending, Step};
use super::state::Shared;

/// A running server; stops when dropped, whatever it is doing.
pub(crate) struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let shared = web::Data::from(shared);
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(shared.clone())
                        .app_data(web::PayloadConfig::new(1 << 20))
                        .default_service(web::to(serve))
                })
                .on_connect(|stream, extensions| {
                    let stream = stream.downcast_ref::<actix_web::rt::net::TcpStream>();
                    if let Some(line) = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok()) {
                        extensions.insert(Line(TcpStream::from(line)));
                    }
                })
                .workers(1)
                .disable_signals()
                .listen(listener)
                .expect("a listening port")
                .run();
                started.send(server.handle()).expect("somebody who starts it");
                server.await.expect("a server that stops in peace");
            });
        });
        let handle = start.recv().expect("a started server");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The command is given by the call; the future would only wait for its end, as joining does.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one here would abort the test run.
            drop(thread.join());
        }
    }
}

/// A second handle of the connection's socket.
struct Line(TcpStream);

impl Line {
    fn cut(&self) {
        // It may be cut already.
        self.0.shutdown(Shutdown::Both).ok();
    }

    /// The socket does not block: no bytes means that the client has closed its side.
    fn is_closed(&self) -> bool {
        matches!(self.0.peek(&mut [0]), Ok(0))
    }
}

async fn serve(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let reply = answer(&request, &body, &shared).await;
    match reply {
        Reply::Json(code, body) => HttpResponse::build(status(code)).json(body),
        Reply::Raw(code, body) => HttpResponse::build(status(code)).body(body),
        Reply::Close => {
            if let Some(line) = request.conn_data::<Line>() {
                line.cut();
            }
            HttpResponse::Ok().finish()
        }
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn answer(request: &HttpRequest, body: &[u8], shared: &Shared) -> Reply {
    let path = request.path().trim_start_matches('/');
    let Some((token, method)) = path.strip_prefix("bot").and_then(|rest| rest.split_once('/')) else {
        return rules::refuse(shared, None, 404, "Not Found", None, false);
    };
    if token != super::TOKEN {
        return rules::refuse(shared, None, 401, "Unauthorized", None, false);
    }
    let fields = fields(request, body);
    match method.to_ascii_lowercase().as_str() {
        "sendmessage" => send_message(request, &fields, shared).await,
        "getupdates" => get_updates(&fields, shared).await,
        "getme" => Reply::Json(200, json!({"ok": true, "result": me()})),
        "deletewebhook" | "setmycommands" | "deletemycommands" | "sendchataction" => {
            Reply::Json(200, json!({"ok": true, "result": true}))
        }
        _ => rules::refuse(shared, None, 404, "Not Found", None, false),
    }
}

fn me() -> Value {
    json!({
        "id": 123_456_789, "is_bot": true, "first_name": "orderhook", "username": "orderhook_test_bot",
        "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
        "can_connect_to_business": false, "has_main_web_app": false
    })
}

/// JSON, a form, or a query; a form's nested values are JSON texts.
fn fields(request: &HttpRequest, body: &[u8]) -> Map<String, Value> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes()).chain(url::form_urlencoded::parse(body));
    pairs
        .map(|(name, text)| {
            let nested = text
                .starts_with(['{', '['])
                .then(|| serde_json::from_str(&text).ok())
                .flatten();
            // Other fields than the text are numbers or words; whoever reads numbers takes both.
            let value = nested
                .filter(|_| name != "text")
                .unwrap_or_else(|| Value::from(text.as_ref()));
            (name.into_owned(), value)
        })
        .collect()
}

async fn send_message(request: &HttpRequest, fields: &Map<String, Value>, shared: &Shared) -> Reply {
    let from = request.peer_addr().map(|address| address.ip());
    let Some(sending) = Sending::read(fields, from) else {
        return rules::refuse(shared, None, 400, "Bad Request: chat not found", None, false);
    };
    match rules::begin(shared, &sending) {
        Step::Reply(reply) => reply,
        Step::ReplyAfter(pause, reply) => {
            actix_web::rt::time::sleep(pause).await;
            reply
        }
        Step::HangThenJudge(pause) => {
            actix_web::rt::time::sleep(pause).await;
            if request.conn_data::<Line>().is_some_and(Line::is_closed) {
                return rules::refuse(shared, Some(sending.chat_id), 0, "the client left", None, true);
            }
            rules::judge(shared, &sending)
        }
    }
}

/// Long polling: forgets what `offset` confirms, then waits up to `timeout` seconds for something new.
async fn get_updates(fields: &Map<String, Value>, shared: &Shared) -> Reply {
    let number = |name| {
        fields
            .get(name)
            .and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()))
    };
    let offset = number("offset").unwrap_or(0);
    let limit = number("limit")
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(100);
    let timeout = number("timeout")
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(timeout);
    if let Some(refusal) = rules::refuse_updates(shared) {
        return refusal;
    }
    let poll = {
        let mut state = shared.lock();
        state
            .updates
            .retain(|update| update["update_id"].as_i64() >= Some(offset));
        state.poll += 1;
        state.poll
    };
    shared.updates_changed.notify_waiters();
    loop {
        // Before looking, so that nothing that comes in between is missed.
        let changed = shared.updates_changed.notified();
        let (updates, is_current) = {
            let state = shared.lock();
            (
                state.updates.iter().take(limit).cloned().collect::<Vec<_>>(),
                state.poll == poll,
            )
        };
        if !is_current {
            let words =
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
            return rules::refuse(shared, None, 409, words, None, false);
        }
        let left = until.saturating_duration_since(Instant::now());
        if !updates.is_empty() || left.is_zero() {
            return Reply::Json(200, json!({"ok": true, "result": updates}));
        }
        // Running out of time is the usual end.
        actix_web::rt::time::timeout(left, changed).await.ok();
    }
}
