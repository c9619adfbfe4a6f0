//! The process under observation.
