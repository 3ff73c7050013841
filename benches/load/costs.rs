//! What a run costs: processor time, rows and bytes of log for each hook.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Bench;
use crate::client::Answers;
use crate::process::Service;

impl Bench<'_> {
    /// Rows that a database has for each of its events. Those that the sender of notices changes are not counted.
    pub(crate) async fn note_rows_per_event(&mut self, database: &str, name: &str) {
        let written = written(&self.cluster.client(database).await).await;
        self.figures
            .note(format!("{name} rows/hook"), written.rows / written.hooks);
    }

    /// One run of a service that is up, with what it cost.
    pub(crate) async fn costs(
        &mut self,
        service: &Service,
        database: &str,
        name: &str,
        play: impl AsyncFnOnce(SocketAddr) -> Answers,
    ) -> Answers {
        let client = self.cluster.client(database).await;
        // Counting takes the database time that is not the run's.
        let rows_before = written(&client).await;
        let before = (service.cpu(), self.cluster.cpu(), rows_before);
        let answers = play(service.hooks).await;
        let after = (service.cpu(), self.cluster.cpu(), written(&client).await);
        assert!(answers.refused.is_empty(), "{name}: {:?}", answers.refused);
        assert_eq!(answers.unanswered, 0, "{name}");
        // Costs are over the whole run, the warm-up included: so are the hooks that they are divided by.
        let hooks = after.2.hooks - before.2.hooks;
        let per_hook = |cost: Duration| cost.as_secs_f64() * 1e6 / hooks;
        let mut note = |figure: &str, value: f64| self.figures.note(format!("{name} {figure}"), value);
        note("hooks/s", answers.rate());
        note("p50 ms", answers.millis(50.0));
        note("p99 ms", answers.millis(99.0));
        note("service cpu us/hook", per_hook(after.0 - before.0));
        note("postgres cpu us/hook", per_hook(after.1 - before.1));
        note("rows/hook", (after.2.rows - before.2.rows) / hooks);
        note("wal bytes/hook", (after.2.wal - before.2.wal) / hooks);
        note("resident MiB", service.resident() as f64 / 1024.0 / 1024.0);
        answers
    }
}

/// What a database has been written.
struct Written {
    hooks: f64,
    rows: f64,
    wal: f64,
}

async fn written(client: &tokio_postgres::Client) -> Written {
    // Answers are recorded a moment after they were given.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Every event of the bench is an arrival and a new version of its order.
    let statement = "SELECT arrivals::float8, (2 * arrivals + notices + moved + answers)::float8, \
         (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 \
         FROM (SELECT count(*) AS arrivals FROM order_arrivals) AS a, (SELECT count(*) AS notices FROM notices) AS n, \
         (SELECT count(*) AS moved FROM stock_movements) AS s, (SELECT count(*) AS answers FROM order_answers) AS r";
    let row = client.query_one(statement, &[]).await.unwrap();
    Written {
        hooks: row.get(0),
        rows: row.get(1),
        wal: row.get(2),
    }
}

/// Rows in all group commits so far, and how many these were.
pub(crate) async fn batches(operations: SocketAddr) -> (f64, f64) {
    let text = reqwest::get(format!("http://{operations}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    (
        value("orderhook_commit_rows_sum "),
        value("orderhook_commit_rows_count "),
    )
}
