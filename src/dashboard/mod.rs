//! The dashboard: a session's frames on a terminal, and a user's keys back to the session.
//!
//! ```text
//! Watch ──▶ Frame ──▶ ViewModel ──▶ widgets ──▶ Backend
//!   ▲                   ▲
//!   └── Command ◀── State ◀── Action ◀── key
//! ```
//! [`run()`] takes terminal, console, clock and session as arguments: tests run the same loop as `gilscope attach`.
//! Views are functions of a [`view::ViewModel`] and a [`theme::Theme`]; they read nothing else. What cannot be read
//! off a frame cannot be shown, so that live and replay look the same.
//!
//! To add a view: see [`views`]; its keys have a line in [`action::BINDINGS`].

pub mod action;
pub mod blame;
pub mod columns;
pub mod console;
pub mod convoys;
pub mod cores;
pub mod details;
pub mod found;
pub mod histograms;
pub mod history;
pub mod instant;
pub mod keys;
pub mod mouse;
pub mod picture;
pub mod processes;
pub mod rows;
mod run;
pub mod signals;
pub mod state;
pub mod terminal;
pub mod theme;
pub mod timeline;
pub mod view;
pub mod views;
pub mod widgets;

pub use run::{DashboardError, Leaving, REFRESH, Settings, run};
