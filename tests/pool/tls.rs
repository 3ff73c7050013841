//! The encrypted listener, with a certificate that is made for the test.

use std::process::Command;

use reqwest::{Certificate, Client, StatusCode};

use crate::load::hook;
use crate::pool::Pool;
use crate::support::app::TOKEN;

#[tokio::test]
async fn sm_is_served_over_tls_and_nothing_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "1",
            "-subj",
            "/CN=pool",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl is not installed; `make test` installs it (Debian)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let settings = [
        ("ORDERHOOK_NGINX_CERTIFICATE", certificate.as_str()),
        ("ORDERHOOK_NGINX_KEY", &key),
    ];
    let pool = Pool::start_with(1, &[], &settings).await;
    let trusted = Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
    let client = |versions: reqwest::ClientBuilder| {
        versions
            .tls_built_in_root_certs(false)
            .add_root_certificate(trusted.clone())
            .build()
            .unwrap()
    };
    let address = format!("{}/sbermarket/orders/hook/", pool.nginx.url);
    let send = |client: Client, address: &str, id: &str| {
        client
            .post(address)
            .header("Client-Token", TOKEN)
            .body(hook(0, id).1)
            .send()
    };
    let newest = client(Client::builder());
    let older = client(Client::builder().max_tls_version(reqwest::tls::Version::TLS_1_2));
    assert_eq!(send(newest, &address, "H1").await.unwrap().status(), StatusCode::OK);
    assert_eq!(send(older, &address, "H2").await.unwrap().status(), StatusCode::OK);
    let log = pool.nginx.logged(2).await;
    assert_eq!((&log[0]["tls"], &log[1]["tls"]), (&"TLSv1.3".into(), &"TLSv1.2".into()));

    let distrustful = Client::builder().build().unwrap();
    assert!(send(distrustful, &address, "H3").await.is_err());
    let in_the_clear = send(Client::new(), &address.replace("https", "http"), "H4")
        .await
        .unwrap();
    assert_eq!(in_the_clear.status(), StatusCode::BAD_REQUEST);
    let orders = pool
        .database
        .client()
        .await
        .query("SELECT FROM orders", &[])
        .await
        .unwrap();
    assert_eq!(orders.len(), 2);
}
