//! A PKCS#11 module for Keystead and every other server with `NetHSM`'s API.
//!
//! A call walks one way, and each folder is a step of it:
//!
//! - `border`: the functions of PKCS#11 in C; the only code with raw pointers;
//! - `module`: what the process has, from `C_Initialize` to `C_Finalize`, also after a fork;
//! - `session` and `slot`: what an application has open, and the token that it is open on;
//! - `mechanisms` and `objects`: what PKCS#11 names, and what the server has for it;
//! - `rest`: the requests of the API;
//! - `http`: connections that are kept, several instances, repeated requests.
//!
//! `config` is read at `C_Initialize`. There is no thread and no async runtime.

mod border;
mod config;
mod der;
mod http;
mod mechanisms;
mod module;
mod objects;
mod operations;
mod refusal;
mod rest;
mod session;
mod slot;
