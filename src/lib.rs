//! orderhook: see the README.

pub mod alarms;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod db;
pub mod intake;
pub mod live;
pub mod metrics;
pub mod openapi;
pub mod replay;
pub mod routes;
pub mod shutdown;
pub mod sim;
pub mod staff_bot;
pub mod telegram;
pub mod telemetry;
