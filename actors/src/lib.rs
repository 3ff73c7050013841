//! The actors of orderhook, behind handles, and the ports they use.
//!
//! ```text
//! hook ──► registry ──► order actor ── apply (pure) ──► persistence actor ──► OrderStore
//!   ▲                        │                                │
//!   └── acknowledged ◄───────┘ after the commit               └──► notifier actor ──► Messenger
//! ```
//!
//! # Layout
//! - [`admission`]: whether a node takes one more hook.
//! - [`registry`]: finds, starts and retires order actors.
//! - [`order_actor`]: one order, strictly one event at a time.
//! - [`persistence_actor`]: group commit.
//! - [`answers_actor`]: which answers SM got.
//! - [`notifier_actor`]: outbox to Telegram.
//! - [`mailbox`]: the only file that touches `Addr`: bounds that refuse, and figures to watch.
//! - [`ports`]: what the outside must provide.
//! - [`system`]: starts all of them, and drains them in reverse.

pub mod admission;
pub mod answers_actor;
pub mod error;
pub mod mailbox;
pub mod metrics;
pub mod notifier_actor;
pub mod order_actor;
pub mod persistence_actor;
pub mod ports;
pub mod registry;
pub mod system;
#[cfg(feature = "testkit")]
pub mod testkit;
