//! The catalog as an analysis sees it.
pub mod facts;
