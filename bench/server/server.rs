//! Answers every HTTP/1.1 request with one fixed body, for systems without nginx.
//!
//! A benchmark of clients needs a server that is not the bottleneck, and one that builds in a
//! second: the standard library only, a blocking thread per connection. Fit for tens of
//! connections on the loopback interface and for nothing else.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, process, thread};

const STACK: usize = 128 * 1024;
const MAX_HEAD: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let body = env::args().nth(1).expect("usage: server <response body>");
    let response: &'static [u8] = response(&body).leak();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(exit_with_parent);
    loop {
        let (stream, _) = listener.accept()?;
        thread::Builder::new().stack_size(STACK).spawn(move || {
            // A client that resets its connection is the client's affair: it counts its failures.
            let _ = serve(stream, response);
        })?;
    }
}

/// Standard input is a pipe that the parent holds: its end is the parent's end, however that came.
fn exit_with_parent() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    process::exit(0);
}

fn response(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nServer: offloop-bench\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\nConnection: keep-alive\r\n\r\n{body}"
    )
    .into_bytes()
}

fn serve(mut stream: TcpStream, response: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 16 * 1024];
    let mut head = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if head.len() > MAX_HEAD {
                return Ok(());
            }
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => head.extend_from_slice(&buffer[..count]),
            }
        };
        let Some(body) = body_length(&head[..end]) else {
            return stream.write_all(
                b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        };
        let mut missing = (end + body).saturating_sub(head.len());
        head.drain(..(end + body).min(head.len()));
        while missing > 0 {
            let room = missing.min(buffer.len());
            match stream.read(&mut buffer[..room])? {
                0 => return Ok(()),
                count => missing -= count,
            }
        }
        stream.write_all(response)?;
    }
}

/// `None` for a body whose end only its own framing tells; no case sends one.
fn body_length(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head);
    let mut length = 0;
    for (name, value) in text.lines().skip(1).filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    Some(length)
}
