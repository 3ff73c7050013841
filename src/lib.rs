//! orderhook: see the README.

pub mod db;
