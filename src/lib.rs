//! Portcullis, an API gateway: the rooms of the house in floor order.
//!
//! A request walks `listener -> pipeline -> route -> policy -> action -> upstream`, and its answer walks back.
//! `ARCHITECTURE.md` tells what each room is for and which rooms it may know.

pub mod runtime;

pub mod exchange;

pub mod config;
pub mod json;

pub mod coding;
pub mod expression;
pub mod http1;
pub mod net;

pub mod cache;
pub mod route;
pub mod shaping;
pub mod store;
pub mod telemetry;
pub mod tunnel;

pub mod upstream;

pub mod action;
pub mod policy;

pub mod snapshot;

pub mod pipeline;

pub mod listener;

pub mod server;

pub mod admin;

pub mod cli;
