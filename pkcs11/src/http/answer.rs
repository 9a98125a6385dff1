//! Reads one answer of HTTP/1.1 (RFC 9112) from a connection.

use std::io::{self, BufRead, Read};

use zeroize::Zeroizing;

const LONGEST_HEAD: u64 = 64 * 1024;
const LONGEST_BODY: usize = 256 * 1024 * 1024;

/// An answer of the server. Its body may hold a secret.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: Zeroizing<Vec<u8>>,
    /// Whether the connection can be used again.
    pub keeps: bool,
}

#[derive(Default)]
struct Head {
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

/// Reads an answer. An early end of the stream is an error.
pub fn read_answer(stream: &mut impl BufRead) -> io::Result<HttpAnswer> {
    let mut lines = stream.take(LONGEST_HEAD);
    let status = parse_status(&read_line(&mut lines)?)?;
    let mut head = Head::default();
    loop {
        let line = read_line(&mut lines)?;
        if line.is_empty() {
            break;
        }
        parse_header(&line, &mut head)?;
    }
    let body = read_body(stream, status, &head)?;
    Ok(HttpAnswer { status, body, keeps: !head.close })
}

fn read_body(
    stream: &mut impl BufRead,
    status: u16,
    head: &Head,
) -> io::Result<Zeroizing<Vec<u8>>> {
    if matches!(status, 204 | 304) {
        return Ok(Zeroizing::default());
    }
    if head.chunked {
        return read_chunks(stream);
    }
    let length = head.length.ok_or_else(|| wrong("an answer without a length"))?;
    let mut body = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        let line = read_line(&mut stream.take(LONGEST_HEAD))?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| wrong("a bad chunk"))?;
        if body.len().saturating_add(size) > LONGEST_BODY {
            return Err(wrong("an answer that is too long"));
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        let end = read_line(&mut stream.take(LONGEST_HEAD))?;
        if !end.is_empty() {
            return Err(wrong("a bad chunk"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn parse_status(line: &str) -> io::Result<u16> {
    let mut words = line.split(' ');
    if !matches!(words.next(), Some("HTTP/1.1" | "HTTP/1.0")) {
        return Err(wrong("an answer that is not HTTP/1.1"));
    }
    words.next().and_then(|code| code.parse().ok()).ok_or_else(|| wrong("a bad status"))
}

fn parse_header(line: &str, head: &mut Head) -> io::Result<()> {
    let (name, value) = line.split_once(':').ok_or_else(|| wrong("a bad header"))?;
    let value = value.trim();
    if name.eq_ignore_ascii_case("content-length") {
        let length = value.parse().ok().filter(|length| *length <= LONGEST_BODY);
        head.length = Some(length.ok_or_else(|| wrong("a bad length"))?);
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        head.chunked = value.eq_ignore_ascii_case("chunked");
    } else if name.eq_ignore_ascii_case("connection") {
        head.close = value.eq_ignore_ascii_case("close");
    }
    Ok(())
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(text) => Ok(text.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early")),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[path = "../../tests/unit/http_answer.rs"]
mod tests;
