//! One connection: TCP, TLS, and one request after the other.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::answer::{read_answer, HttpAnswer};

/// A connection to an instance.
pub struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, Limited>>,
    used: Instant,
    timeout: Option<Duration>,
}

/// A socket that is used no more when the answer takes too long, even if some bytes come all the time.
struct Limited {
    socket: TcpStream,
    end: Instant,
}

impl Connection {
    /// Connects. The handshake is part of the first exchange.
    pub fn open(
        host: &str,
        port: u16,
        name: &ServerName<'static>,
        tls: &Arc<ClientConfig>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let socket = connect(host, port, timeout)?;
        socket.set_nodelay(true)?;
        let session =
            ClientConnection::new(Arc::clone(tls), name.clone()).map_err(io::Error::other)?;
        let stream =
            BufReader::new(StreamOwned::new(session, Limited { socket, end: Instant::now() }));
        Ok(Self { stream, used: Instant::now(), timeout: None })
    }

    /// Sends a request and reads the answer to it.
    pub fn exchange(&mut self, request: &[u8], timeout: Duration) -> io::Result<HttpAnswer> {
        // Of one read or write. The kernel is only told of changes: it is a call for each.
        if self.timeout != Some(timeout) {
            let socket = &self.stream.get_ref().sock.socket;
            socket.set_read_timeout(Some(timeout))?;
            socket.set_write_timeout(Some(timeout))?;
            self.timeout = Some(timeout);
        }
        let stream = self.stream.get_mut();
        stream.sock.end = Instant::now() + timeout;
        stream.write_all(request)?;
        stream.flush()?;
        let answer = read_answer(&mut self.stream)?;
        self.used = Instant::now();
        Ok(answer)
    }

    /// Returns how long the connection has not been used.
    pub fn idle(&self) -> Duration {
        self.used.elapsed()
    }
}

impl Limited {
    fn in_time(&self) -> io::Result<&TcpStream> {
        let is_late = Instant::now() >= self.end;
        if is_late {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(&self.socket)
        }
    }
}

impl Read for Limited {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.in_time()?.read(room)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
