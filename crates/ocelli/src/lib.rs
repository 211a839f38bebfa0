//! The camera server as a library: everything but the `main` of the program, so that tests and fuzz targets reach it.
//!
//! It is no stable interface for other programs; the outside contract is the command line, the configuration file
//! and the addresses.

pub mod app;
pub mod capture;
pub mod children;
pub mod cli;
pub mod config;
pub mod connections;
pub mod ffmpeg;
pub mod histogram;
pub mod http;
pub mod log;
mod notice;
pub mod open_files;
pub mod outputs;
pub mod process;
pub mod server;
pub mod sources;
pub mod tally;
pub mod transcode;
pub mod udp;
pub mod variants;
pub mod viewers;
