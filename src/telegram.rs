//! Telegram: the texts for staff and their delivery. Implements the messenger port.
//!
//! # Layout
//! - `texts` and `templates/`: a notice as Russian text; every word is in a template file.
//! - `merge`: what waits for a chat, into as few messages as hold it. Pure.
//! - `markup`: lengths, splitting and plain text of Telegram's HTML mode. Pure.
//! - [`ops`]: what operations are told. Pure.
//! - [`staff`]: what staff may say to the bot, and what it answers. Pure.
//! - `bot`: delivery through the Bot API, every answer mapped to the reaction it needs.
//! - `log_messenger`: the same texts in the log, when no token is configured.

mod bot;
mod log_messenger;
mod markup;
mod merge;
pub mod ops;
pub mod staff;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use orderhook_actors::ports::Messenger;
use secrecy::{ExposeSecret as _, SecretString};
use teloxide::Bot;
use url::Url;

use self::bot::BotMessenger;
use self::log_messenger::LogMessenger;
use self::texts::Texts;

/// How long a connection to the Bot API may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How staff are told.
#[derive(Debug, Clone)]
pub struct TelegramSettings {
    /// The bot's token; absent or blank: texts go to the log.
    pub token: Option<SecretString>,
    /// Another Bot API server than Telegram's own.
    pub api_url: Option<Url>,
    /// The shop's time zone, for delivery windows.
    pub time_zone: Tz,
    /// How long one request may take from connecting to the last byte of the answer.
    pub request_timeout: Duration,
}

impl Default for TelegramSettings {
    /// No token, Telegram's own server, Moscow time, 10 s.
    fn default() -> Self {
        Self {
            token: None,
            api_url: None,
            time_zone: Tz::Europe__Moscow,
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// Why no messenger could be made. Never holds the token.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    /// Such as `mailto:` or `localhost:8081` without a scheme.
    #[error("the Bot API address must begin with http:// or https://, not {0:?}")]
    ApiUrl(String),
    /// TLS could not be set up.
    #[error("the HTTP client for the Bot API could not be made")]
    Client(#[source] reqwest::Error),
}

/// The messenger that the settings ask for; everything it sends runs on `io`.
///
/// # Errors
/// [`TelegramError`] when the settings can never work.
pub fn messenger(settings: &TelegramSettings, io: tokio::runtime::Handle) -> Result<Arc<dyn Messenger>, TelegramError> {
    let texts = Texts {
        time_zone: settings.time_zone,
    };
    Ok(match bot(settings, settings.request_timeout)? {
        Some(bot) => Arc::new(BotMessenger::new(bot, texts, io)),
        None => Arc::new(LogMessenger::new(texts)),
    })
}

/// The bot, with a client of its own; `None` without a token. Long polling needs a longer
/// `request_timeout` than sending.
///
/// # Errors
/// [`TelegramError`] when the settings can never work.
pub fn bot(settings: &TelegramSettings, request_timeout: Duration) -> Result<Option<Bot>, TelegramError> {
    let token = settings.token.as_ref().map(|token| token.expose_secret().trim());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(request_timeout)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| TelegramError::Client(error.without_url()))?;
    let bot = Bot::with_client(token, client);
    let Some(url) = &settings.api_url else {
        return Ok(Some(bot));
    };
    Ok(Some(bot.set_api_url(base_url(url)?)))
}

/// The address without a slash at its end, which teloxide would double.
fn base_url(url: &Url) -> Result<Url, TelegramError> {
    let mut base = url.clone();
    let is_http = matches!(url.scheme(), "http" | "https");
    match base.path_segments_mut() {
        Ok(mut segments) if is_http => {
            segments.pop_if_empty();
        }
        // The address itself may hold a password; show only what is wrong with it.
        _ => return Err(TelegramError::ApiUrl(format!("{}:", url.scheme()))),
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_web_address_is_refused() {
        let settings = |url: &str| TelegramSettings {
            token: Some(SecretString::from("123456:secret")),
            api_url: Some(Url::parse(url).unwrap()),
            ..TelegramSettings::default()
        };
        let timeout = Duration::from_secs(1);
        assert!(bot(&settings("localhost:8081"), timeout).is_err());
        assert!(bot(&settings("ftp://localhost/"), timeout).is_err());
        let made = bot(&settings("http://localhost:8081/bots/"), timeout).unwrap().unwrap();
        assert_eq!(made.api_url().as_str(), "http://localhost:8081/bots");
    }

    #[test]
    fn a_blank_token_is_no_token() {
        let settings = TelegramSettings {
            token: Some(SecretString::from(" ")),
            ..TelegramSettings::default()
        };
        assert!(bot(&settings, Duration::from_secs(1)).unwrap().is_none());
    }

    #[test]
    fn settings_do_not_show_the_token() {
        let settings = TelegramSettings {
            token: Some(SecretString::from("123456:secret")),
            ..TelegramSettings::default()
        };
        assert!(!format!("{settings:?}").contains("123456"));
    }
}
