//! orderhook: see the README.

pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod db;
pub mod intake;
pub mod metrics;
pub mod routes;
pub mod shutdown;
pub mod sim;
pub mod telegram;
pub mod telemetry;
