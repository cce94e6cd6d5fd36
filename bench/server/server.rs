//! Answers HTTP/1.1 requests with fixed bodies, for systems without nginx and for what nginx does not do.
//!
//! A benchmark of clients needs a server that is not the bottleneck, and one that builds in a
//! second: the standard library only, a blocking thread per connection. Fit for connections on
//! the loopback interface and for nothing else.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, process, thread};

const STACK: usize = 128 * 1024;
const MAX_HEAD: usize = 64 * 1024;
/// What is read and written at once. Untouched pages of a buffer are not resident, so an idle connection has none.
const CHUNK: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(ports), Some(small)) = (args.next().and_then(|text| text.parse().ok()), args.next())
    else {
        eprintln!("usage: server <number of ports> <body of small responses>");
        process::exit(2);
    };
    let small: &'static str = small.leak();
    let listeners: Vec<_> =
        (0..ports).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    for listener in &listeners {
        print!("{} ", listener.local_addr()?.port());
    }
    println!();
    for listener in listeners {
        thread::spawn(move || accept(&listener, small));
    }
    // Standard input is a pipe that the parent holds: its end is the parent's end, however that came.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    process::exit(0);
}

fn accept(listener: &TcpListener, small: &'static str) {
    loop {
        let served = listener.accept().and_then(|(stream, _)| {
            thread::Builder::new().stack_size(STACK).spawn(move || {
                // A client that resets its connection is the client's affair: it counts its failures.
                let _ = serve(stream, small);
            })
        });
        if let Err(error) = served {
            eprintln!("bench server: {error}");
            // Out of files or threads, it may be better in a moment and is not in this one.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn serve(mut stream: TcpStream, small: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; CHUNK];
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
        let arrival = monotonic();
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let Some(body) = body_length(&text) else {
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
        match path(&text) {
            "/arrival" => {
                let Some(time) = arrival else {
                    return stream.write_all(
                        b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                };
                answer(&mut stream, &format!("{:020}", time.as_micros()))?;
            }
            path => match path.strip_prefix("/bytes/").and_then(|digits| digits.parse().ok()) {
                Some(length) => answer_bytes(&mut stream, length, &mut buffer)?,
                None => answer(&mut stream, small)?,
            },
        }
    }
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("/")
}

fn answer(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    stream.write_all((response_head(body.len()) + body).as_bytes())
}

/// The bytes are those of what the connection has read last: what they are nobody asks.
fn answer_bytes(stream: &mut TcpStream, length: usize, buffer: &mut [u8]) -> io::Result<()> {
    stream.write_all(response_head(length).as_bytes())?;
    let mut left = length;
    while left > 0 {
        let count = left.min(buffer.len());
        stream.write_all(&buffer[..count])?;
        left -= count;
    }
    Ok(())
}

fn response_head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: offloop-bench\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\nConnection: keep-alive\r\n\r\n"
    )
}

/// `None` for a body whose end only its own framing tells; no case sends one.
fn body_length(head: &str) -> Option<usize> {
    let mut length = 0;
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    Some(length)
}

/// The time since the system's start. `Instant` reads the same clock and does not show what it reads, and the clients
/// compare this with theirs.
#[cfg(target_os = "linux")]
fn monotonic() -> Option<Duration> {
    #[repr(C)]
    struct Timespec {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: std::ffi::c_int, time: *mut Timespec) -> std::ffi::c_int;
    }
    const CLOCK_MONOTONIC: std::ffi::c_int = 1;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the C library that std is linked with has this function; on 64-bit Linux a timespec is two longs, and
    // it writes one to where the pointer leads, which is ours.
    let status = unsafe { clock_gettime(CLOCK_MONOTONIC, &raw mut time) };
    (status == 0).then(|| Duration::new(time.seconds as u64, time.nanoseconds as u32))
}

#[cfg(not(target_os = "linux"))]
fn monotonic() -> Option<Duration> {
    None
}
