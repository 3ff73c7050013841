//! The Telegram adapter as the service sees it: texts, merging, and delivery against a Bot API that
//! enforces Telegram's rules.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "telegram/changes.rs"]
mod changes;
#[path = "telegram/delivery.rs"]
mod delivery;
#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "telegram/log.rs"]
mod log;
#[path = "telegram/merging.rs"]
mod merging;
#[path = "telegram/sample.rs"]
mod sample;
#[path = "telegram/texts.rs"]
mod texts;
