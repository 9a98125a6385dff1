//! Requests over kept connections to several instances, repeated until one answers.

mod answer;
mod connection;
mod instance;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

pub use answer::HttpAnswer;
pub use instance::Instance;
pub use tls::{client_settings, Trust};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const SLOWNESS: u32 = 6;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection is there.
    pub connect: Duration,
    /// Until a request is answered.
    pub answer: Duration,
    /// For a call, with all that is repeated.
    pub call: Duration,
}

/// What is asked of the server.
pub struct Request<'a> {
    /// GET, POST, PUT or DELETE.
    pub method: &'a str,
    /// Below `/api/v1`, with its query.
    pub path: &'a str,
    /// The value of the header Authorization.
    pub authorization: &'a str,
    /// The type of the body, and the body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// Whether the server needs long for it: to make an RSA key.
    pub is_slow: bool,
}

impl Patience {
    /// Returns the patience for a request that takes the server long.
    fn for_slow(self) -> Self {
        Self { answer: SLOWNESS * self.answer, call: self.call + SLOWNESS * self.answer, ..self }
    }
}

/// An answer, or a line for the user that says why there is none.
pub type Sent = Result<HttpAnswer, String>;

/// The instances of a slot.
pub struct Client {
    instances: Vec<Instance>,
    patience: Patience,
    next: AtomicUsize,
}

impl Client {
    /// Makes a client of at least one instance. It connects to none yet.
    pub fn new(instances: Vec<Instance>, patience: Patience) -> Self {
        Self { instances, patience, next: AtomicUsize::new(0) }
    }

    /// Returns the first answer that says something about the request.
    ///
    /// Instances that cannot be reached, are locked or too busy are passed over. When none is left,
    /// all are tried again after a pause, until the patience ends. A request may so be done twice:
    /// callers make requests for which that does no harm.
    pub fn send(&self, request: &Request) -> Sent {
        let patience = if request.is_slow { self.patience.for_slow() } else { self.patience };
        let end = Instant::now() + patience.call;
        let mut pause = FIRST_PAUSE;
        loop {
            let last = match self.send_round(request, patience, end) {
                Ok(answer) => return Ok(answer),
                Err(last) => last,
            };
            let left = end.saturating_duration_since(Instant::now());
            if left <= pause {
                return last;
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Closes all connections that are not in use.
    pub fn close(&self) {
        self.instances.iter().for_each(Instance::close);
    }

    /// Asks each instance once, those that failed recently last. Gives the last result as an error.
    fn send_round(
        &self,
        request: &Request,
        patience: Patience,
        end: Instant,
    ) -> Result<HttpAnswer, Sent> {
        let mut last = Err("no instance was asked".into());
        for instance in self.in_order() {
            if Instant::now() >= end {
                break;
            }
            last = instance.send(request, patience, end);
            match last {
                Ok(answer) if !is_passing(answer.status) => {
                    instance.note_failure(None);
                    return Ok(answer);
                }
                _ => instance.note_failure(Some(Instant::now())),
            }
        }
        Err(last)
    }

    fn in_order(&self) -> Vec<&Instance> {
        let count = self.instances.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let mut order: Vec<_> =
            (0..count).map(|step| &self.instances[(first + step) % count]).collect();
        order.sort_by_key(|instance| instance.failed_recently());
        order
    }
}

/// Says whether another instance, or the same later, may answer better: Locked or busy.
fn is_passing(status: u16) -> bool {
    matches!(status, 412 | 429 | 502 | 503 | 504)
}

/// Returns the bytes of a request. They hold a passphrase.
fn encoded(request: &Request, host: &str, root: &str) -> Zeroizing<Vec<u8>> {
    let (kind, body) = request.body.unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(512 + body.len()));
    let mut add = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend(part.as_bytes()));
    add(&[request.method, " ", root, request.path, " HTTP/1.1\r\nHost: ", host, "\r\n"]);
    add(&["Authorization: ", request.authorization, "\r\n"]);
    if request.body.is_some() {
        add(&["Content-Type: ", kind, "\r\n"]);
    }
    if request.method != "GET" {
        add(&["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    add(&["\r\n"]);
    bytes.extend(body);
    bytes
}
