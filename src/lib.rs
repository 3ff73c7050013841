//! orderhook: see the README.
