//! A small HTTP/1.1 server that logs its requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Asked {
    /// Request line and header fields, as received.
    pub head: String,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    log: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
    is_closed: AtomicBool,
}

pub struct Upstream {
    pub name: String,
    pub address: String,
    state: Arc<State>,
}

impl Upstream {
    pub fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let (shared, called) = (Arc::clone(&state), name.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_closed.load(Ordering::SeqCst) {
                    // Returning drops the listener, so that the next connection is refused.
                    return;
                }
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (shared, called) = (Arc::clone(&shared), called.clone());
                thread::spawn(move || serve(stream, &called, &shared));
            }
        });
        Self { name: name.to_owned(), address, state }
    }

    /// Refuses connections from now on, and closes those it has.
    pub fn die(&self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
        while TcpStream::connect(&self.address).is_ok() {
            thread::yield_now();
        }
        for connection in self.state.connections.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }
}

fn serve(stream: TcpStream, name: &str, state: &State) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let body = body(&mut stream, &head)?;
        let target = head.split(' ').nth(1)?.to_owned();
        state.log.lock().unwrap().push(Asked { head, body: body.clone() });
        let out = stream.get_mut();
        match target.as_str() {
            "/cookies" => write!(
                out,
                "HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nset-cookie: b=2, 3\r\ncontent-length: 0\r\n\r\n"
            )
            .ok()?,
            "/stream" => {
                write!(out, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
                for part in 0..50 {
                    let text = format!("part {part:02} of {name}\n").repeat(100);
                    write!(out, "{:x}\r\n{text}\r\n", text.len()).ok()?;
                }
                write!(out, "0\r\n\r\n").ok()?;
            }
            "/short" => {
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").ok()?;
                // Another handle of the socket exists, so dropping this one would not close it.
                out.shutdown(Shutdown::Both).ok()?;
                return None;
            }
            "/echo" => {
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).ok()?;
                out.write_all(&body).ok()?;
            }
            "/gone" => write!(out, "HTTP/1.1 404 Not Here\r\ncontent-length: 0\r\n\r\n").ok()?,
            _ => write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{name}",
                name.len()
            )
            .ok()?,
        }
    }
}

/// The value of a field of `head`.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The body that follows `head`.
pub fn body(stream: &mut impl BufRead, head: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if field(head, "transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let len = u64::from_str_radix(line.trim(), 16).ok()?;
            stream.take(len).read_to_end(&mut body).ok()?;
            stream.read_line(&mut line).ok()?;
            if len == 0 {
                return Some(body);
            }
        }
    }
    let len: u64 = field(head, "content-length").map_or(Some(0), |len| len.parse().ok())?;
    stream.take(len).read_to_end(&mut body).ok()?;
    (body.len() as u64 == len).then_some(body)
}
