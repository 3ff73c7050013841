//! A database of its own for every test, cloned from a migrated template.
//!
//! The cluster is the throw-away one that `make test` starts; its address is in
//! `ORDERHOOK_TEST_DATABASE_URL`. The template is made once per set of migrations, by whichever test
//! process comes first.

use std::sync::atomic::{AtomicU32, Ordering};

use orderhook::db::migrate::migrate;
use orderhook::db::{Database, DatabaseSettings};
use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

/// Guards the making of the template.
const TEMPLATE_LOCK: i64 = 0x7465_6d70_6c61_7465;

/// Dropped from the cluster when the test is over.
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// A fresh, migrated database without rows.
    pub async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let admin = connect(&cluster_url()).await;
        let template = template(&admin).await;
        let name = format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .unwrap();
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .unwrap();
        Self {
            url: with_database(&cluster_url(), &name),
            name,
        }
    }

    /// For `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The pool that the service would have, driven by the current runtime.
    pub fn open(&self) -> Database {
        open(&self.url)
    }

    /// A plain connection, to look at what is stored.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's own runtime may be gone or is busy being dropped: use another one.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move { connect(&cluster_url()).await.batch_execute(&statement).await })
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}

fn cluster_url() -> String {
    std::env::var("ORDERHOOK_TEST_DATABASE_URL").expect(
        "ORDERHOOK_TEST_DATABASE_URL names no PostgreSQL cluster; run the tests with `make test`, \
         which starts one for them",
    )
}

fn with_database(url: &str, name: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_path(name);
    url.to_string()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn open(url: &str) -> Database {
    let settings = DatabaseSettings {
        url: SecretString::from(url),
        node: "test".to_owned(),
        pool_size: 8,
    };
    Database::open(&settings, tokio::runtime::Handle::current()).unwrap()
}

/// The name of the migrated template; made when it is not there yet.
async fn template(admin: &Client) -> String {
    let mut digest = blake3::Hasher::new();
    let mut migrations: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    migrations.sort();
    for path in migrations {
        digest.update(&std::fs::read(path).unwrap());
    }
    let hash = u64::from_be_bytes(digest.finalize().as_bytes()[..8].try_into().unwrap());
    let name = format!("tmpl_{hash:016x}");

    admin
        .execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK])
        .await
        .unwrap();
    let ready = "SELECT FROM pg_database WHERE datname = $1 AND datistemplate";
    if admin.query_opt(ready, &[&name]).await.unwrap().is_none() {
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let url = with_database(&cluster_url(), &name);
        migrate(&open(&url)).await.unwrap();
        // A template that somebody is connected to cannot be cloned.
        let disconnect = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
        admin.query(disconnect, &[&name]).await.unwrap();
        let seal = format!("ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false");
        admin.batch_execute(&seal).await.unwrap();
    }
    admin
        .execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK])
        .await
        .unwrap();
    name
}
