//! Who may look and who may act.

use clap::Parser;
use orderhook::cli::{Cli, Command};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::bodies::with_lines;
use crate::stream::ask;
use crate::support::app::{NodeClient, TestApp};
use crate::support::database::TestDatabase;

pub(crate) const OPS_TOKEN: &str = "correct-horse-battery";

const ANY_ARRIVAL: &str = "00000000-0000-7000-8000-000000000000";

pub(crate) fn request(client: &NodeClient, method: Method, path: &str) -> RequestBuilder {
    client.http.request(method, format!("{}{path}", client.ops))
}

fn changes() -> [String; 2] {
    [
        format!("/api/journal/{ANY_ARRIVAL}/replay"),
        "/api/chats/-100100/enable".to_owned(),
    ]
}

#[actix_rt::test]
async fn without_a_token_everybody_may_look_and_nobody_may_act_or_read_a_body() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    assert_eq!(app.order("H1").await["status"], "new");
    for path in ["/", "/api/mailboxes", "/api/state", "/metrics"] {
        assert_eq!(app.ops(path).await.status(), StatusCode::OK, "{path}");
    }
    for path in changes() {
        let asked = request(&app, Method::POST, &path).header("X-Operator", "anna");
        let refused = asked.bearer_auth("").send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["errors"][0]["type"], "read_only");
    }
    let body = app.ops(&format!("/api/journal/{ANY_ARRIVAL}/body")).await;
    assert_eq!(body.status(), StatusCode::FORBIDDEN);
}

#[actix_rt::test]
async fn with_a_token_nothing_is_told_without_it() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--ops-token", OPS_TOKEN]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let reads = [
        "/api/mailboxes",
        "/api/state",
        "/api/orders/H1",
        "/api/orders/H2",
        "/api/nothing",
    ];
    for path in reads
        .map(str::to_owned)
        .into_iter()
        .chain([format!("/api/journal/{ANY_ARRIVAL}/body")])
    {
        for token in [None, Some(""), Some("wrong"), Some("correct-horse")] {
            let asked = request(&app, Method::GET, &path);
            let asked = token.iter().fold(asked, |asked, token| asked.bearer_auth(token));
            let refused = asked.send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path} {token:?}");
            assert!(
                refused.headers()["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
            assert!(!refused.text().await.unwrap().contains("H1"));
        }
        let known = request(&app, Method::GET, &path)
            .bearer_auth(OPS_TOKEN)
            .send()
            .await
            .unwrap();
        assert_ne!(known.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in changes() {
        let asked = request(&app, Method::POST, &path).header("X-Operator", "anna");
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
        let nobody = request(&app, Method::POST, &path).bearer_auth(OPS_TOKEN);
        assert_eq!(nobody.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{path}");
        // A form of another site can post, but neither set a header nor read the answer.
        let other_site = request(&app, Method::POST, &path)
            .header("Origin", "https://elsewhere.example")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("token={OPS_TOKEN}"));
        let refused = other_site.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(!refused.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(ask(&app, None).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&app, Some(OPS_TOKEN)).await.status(), StatusCode::OK);
    // For a load balancer, for Prometheus, and for whoever is about to type the token.
    for path in ["/", "/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(app.ops(path).await.status(), StatusCode::OK, "{path}");
    }
}

#[test]
fn a_token_that_can_be_guessed_is_no_token() {
    let settings = |token: &str| {
        let line = [
            "orderhook",
            "serve",
            "--database-url",
            "postgres://",
            "--client-tokens",
            "t",
            "--ops-token",
        ];
        let cli = Cli::try_parse_from(line.into_iter().chain([token])).unwrap();
        let Command::Serve(args) = cli.command else {
            panic!("not serve")
        };
        args.validate()
    };
    assert!(settings("").is_ok());
    assert!(settings(OPS_TOKEN).is_ok());
    let refused = settings("guess").unwrap_err().to_string();
    assert!(
        refused.contains("ORDERHOOK_OPS_TOKEN") && !refused.contains("guess"),
        "{refused}"
    );
}
