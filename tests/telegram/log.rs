//! Without a token the log tells what staff would be told; with one, no log ever tells the token.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orderhook::telegram::{TelegramSettings, messenger};
use secrecy::SecretString;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fake_bot_api::{FakeBotApi, Fault, Scope, TOKEN, Times};
use crate::sample::{new, new_order, waiting};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Everything that is logged on this thread, to the last detail.
    fn of_this_thread(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish()
            .set_default()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn without_a_token_the_text_is_readable_in_the_log() {
    let log = Log::default();
    let logging = log.of_this_thread();
    let messenger = messenger(&TelegramSettings::default(), tokio::runtime::Handle::current()).unwrap();
    let message = messenger.render(&[waiting(42, new(new_order()))]).next().unwrap();
    let plain = message.plain.clone();
    assert_eq!(messenger.send(-100_500, message.clone()).await, Ok(1));
    assert_eq!(messenger.send(7, message).await, Ok(2));
    drop(logging);
    assert!(
        log.text().contains("INFO orderhook::telegram: to chat -100500:\n"),
        "{}",
        log.text()
    );
    assert!(log.text().contains(&plain), "{}", log.text());
}

#[tokio::test]
async fn the_token_is_in_no_log_and_no_error() {
    let log = Log::default();
    let logging = log.of_this_thread();
    let fake = FakeBotApi::start();
    let settings = |url: &str| TelegramSettings {
        token: Some(SecretString::from(TOKEN)),
        api_url: Some(url.parse().unwrap()),
        request_timeout: Duration::from_millis(200),
        ..TelegramSettings::default()
    };
    let io = tokio::runtime::Handle::current();
    let to_fake = messenger(&settings(&fake.url()), io.clone()).unwrap();
    let to_nobody = messenger(&settings("http://127.0.0.1:1"), io).unwrap();
    let message = to_fake.render(&[waiting(42, new(new_order()))]).next().unwrap();
    let mut errors = vec![to_nobody.send(1, message.clone()).await.unwrap_err()];
    for fault in [
        Fault::Hang(Duration::from_secs(60)),
        Fault::LoseAnswer,
        Fault::CloseConnection,
        Fault::BadJson,
        Fault::Unauthorized,
        Fault::CannotParse,
        Fault::ProxyError(502),
    ] {
        fake.set_limits(None);
        fake.fail(Scope::All, fault, Times::Next(1));
        errors.extend(to_fake.send(1, message.clone()).await.err());
    }
    drop(logging);
    let told = format!("{}{errors:?}", log.text());
    assert!(told.contains("markup cannot be parsed"), "the log was not caught");
    let secret = TOKEN.split_once(':').unwrap().1;
    assert!(!told.contains(secret), "{told}");
    assert!(
        !told.contains("домофон"),
        "the customer's words are in a log or an error"
    );
}
