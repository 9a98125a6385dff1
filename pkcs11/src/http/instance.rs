//! One instance of the server: its kept connections, and whether it failed recently.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::ClientConfig;

use super::answer::HttpAnswer;
use super::connection::Connection;
use super::{encoded, Patience, Request, Sent};

const MOST_IDLE: usize = 64;
const LONGEST_IDLE: Duration = Duration::from_secs(30);
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// An instance, by its address.
pub struct Instance {
    host: String,
    port: u16,
    host_header: String,
    root: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    idle: Mutex<Vec<Connection>>,
    failed: Mutex<Option<Instant>>,
}

impl Instance {
    /// Makes an instance of `https://host[:port][/path]`. The error says what is wrong with `url`.
    pub fn new(url: &str, tls: Arc<ClientConfig>) -> Result<Self, String> {
        let rest = url
            .strip_prefix("https://")
            .ok_or_else(|| format!("{url:?} does not begin with https://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) =
            split_port(authority).ok_or_else(|| format!("{url:?} has no valid host and port"))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host:?} is not a name of a host"))?;
        let path = path.trim_end_matches('/');
        let root = if path.is_empty() { "/api/v1".to_owned() } else { format!("/{path}") };
        Ok(Self {
            host: host.to_owned(),
            port,
            host_header: authority.to_owned(),
            root,
            name,
            tls,
            idle: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    /// Sends a request on a kept connection or a new one.
    ///
    /// A kept connection may have died while nobody looked: then a new one is tried at once.
    pub fn send(&self, request: &Request, patience: Patience, end: Instant) -> Sent {
        let bytes = encoded(request, &self.host_header, &self.root);
        while let Some(kept) = self.take() {
            match self.exchange(kept, &bytes, patience, end) {
                Err(error) if !is_timeout(&error) => {}
                result => return result.map_err(|error| self.no_answer(&error)),
            }
        }
        let within = |limit: Duration| limit.min(end.saturating_duration_since(Instant::now()));
        let connect = within(patience.connect).max(Duration::from_millis(1));
        Connection::open(&self.host, self.port, &self.name, &self.tls, connect)
            .and_then(|opened| self.exchange(opened, &bytes, patience, end))
            .map_err(|error| self.no_answer(&error))
    }

    /// Says whether the instance failed a short time ago.
    pub fn failed_recently(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < REST_AFTER_FAILURE)
    }

    /// Notes when the instance did not answer, or that it did.
    pub fn note_failure(&self, at: Option<Instant>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Closes the connections that are not in use, without a goodbye: after a fork they are shared.
    pub fn close(&self) {
        // After a fork, a thread that is not there any more may hold the lock for ever.
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.clear();
        }
    }

    fn exchange(
        &self,
        mut connection: Connection,
        bytes: &[u8],
        patience: Patience,
        end: Instant,
    ) -> io::Result<HttpAnswer> {
        let left = end.saturating_duration_since(Instant::now());
        // Only the last requests of a call get less: so the limit seldom changes.
        let timeout = patience.answer.min(left.max(Duration::from_millis(1)));
        let answer = connection.exchange(bytes, timeout)?;
        if answer.keeps {
            self.keep(connection);
        }
        Ok(answer)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().filter(|connection| connection.idle() < LONGEST_IDLE).or_else(|| {
            // The newest is too old, so all are.
            idle.clear();
            None
        })
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
    }

    fn no_answer(&self, error: &io::Error) -> String {
        // Each of the kept connections that are left could hold a call up as long as this one did.
        self.close();
        format!("https://{}: {error}", self.host_header)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let port = if after.is_empty() { 443 } else { after.strip_prefix(':')?.parse().ok()? };
        return Some((host, port));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, 443)),
    }
}

#[cfg(test)]
#[path = "../../tests/unit/http_instance.rs"]
mod tests;
