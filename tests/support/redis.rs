//! A small Redis whose faults a test chooses.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The behaviour of a [`Redis`].
#[derive(Default)]
pub struct Faults {
    /// Milliseconds before each reply.
    pub delay: AtomicU64,
    /// Holds replies back as long as it is set.
    pub holds: AtomicBool,
    /// Sends malformed replies.
    pub malformed: AtomicBool,
    /// Closes each connection at its first command.
    pub closes: AtomicBool,
    /// The number of commands so far.
    pub commands: AtomicU64,
    /// The number of connections so far.
    pub connections: AtomicU64,
}

/// A server with the part of Redis that sessions need, and with settable faults.
pub struct Redis {
    address: SocketAddr,
    pub faults: Arc<Faults>,
}

impl Redis {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let redis = Self { address: listener.local_addr().unwrap(), faults: Arc::default() };
        let (faults, values) = (Arc::clone(&redis.faults), Arc::new(Mutex::new(HashMap::new())));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                faults.connections.fetch_add(1, Ordering::Relaxed);
                let (faults, values) = (Arc::clone(&faults), Arc::clone(&values));
                std::thread::spawn(move || serve(&stream, &faults, &values));
            }
        });
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }
}

fn serve(stream: &TcpStream, faults: &Faults, values: &Mutex<HashMap<String, Vec<u8>>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let number = |reader: &mut BufReader<&TcpStream>| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    loop {
        let mut words = Vec::new();
        for _ in 0..number(&mut reader)? {
            let mut word = vec![0; number(&mut reader)? + 2];
            reader.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            words.push(word);
        }
        faults.commands.fetch_add(1, Ordering::Relaxed);
        std::thread::park_timeout(Duration::from_millis(faults.delay.load(Ordering::Relaxed)));
        while faults.holds.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if faults.closes.load(Ordering::Relaxed) {
            return None;
        }
        let mut values = values.lock().unwrap();
        let key = String::from_utf8_lossy(words.get(1)?).into_owned();
        let response = match words[0].as_slice() {
            _ if faults.malformed.load(Ordering::Relaxed) => b"HTTP/1.1 418 I'm a teapot\r\n\r\n".to_vec(),
            b"GET" => match values.get(&key) {
                None => b"$-1\r\n".to_vec(),
                Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
            },
            b"SET" => {
                values.insert(key, words[2].clone());
                b"+OK\r\n".to_vec()
            }
            b"DEL" => format!(":{}\r\n", u8::from(values.remove(&key).is_some())).into_bytes(),
            _ => b"-ERR unknown command\r\n".to_vec(),
        };
        drop(values);
        let mut stream = stream;
        stream.write_all(&response).ok()?;
    }
}
