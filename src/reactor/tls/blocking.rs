//! A TLS connection for code that runs no loop, and may block.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::super::input::Input;
use super::ciphertext::Ciphertext;
use super::connection::TlsConnection;
use super::connector::TlsClient;
use super::failure::TlsFailure;

/// A TLS connection that blocks.
pub struct TlsStream {
    stream: TcpStream,
    tls: TlsConnection,
    ciphertext: Ciphertext,
    input: Input,
}

impl TlsStream {
    /// Does the handshake on a connection that was just made.
    ///
    /// # Errors
    /// Those of the connection, and those of TLS.
    pub fn connect(stream: TcpStream, client: &TlsClient) -> io::Result<Self> {
        let tls = client.connect()?;
        let (ciphertext, input) = (Ciphertext::default(), Input::default());
        let mut connection = Self { stream, tls, ciphertext, input };
        connection.open()?;
        while connection.tls.is_handshaking() {
            connection.receive()?;
        }
        Ok(connection)
    }

    /// Decrypts what there is, and sends the answers of TLS.
    fn open(&mut self) -> io::Result<()> {
        let opened = self.tls.open_records(&mut self.ciphertext, &mut self.input);
        let sent = self.send();
        opened?;
        sent
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(self.ciphertext.sealed.bytes())?;
        self.ciphertext.sealed.clear();
        Ok(())
    }

    /// Receives once.
    fn receive(&mut self) -> io::Result<()> {
        if !self.tls.has_unread() {
            let room = self.ciphertext.received.make_room();
            let mut some = vec![0; room.min(16 * 1024)];
            let count = self.stream.read(&mut some)?;
            if count == 0 {
                self.tls.socket_ended = true;
                if self.tls.is_handshaking() {
                    return Err(TlsFailure::Cut.into());
                }
                return Ok(());
            }
            self.ciphertext.received.extend(&some[..count]);
        }
        self.open()
    }
}

impl Read for TlsStream {
    /// An end without close_notify is an error.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        while self.input.is_empty() {
            if self.tls.has_ended() {
                return if self.tls.is_truncated() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
            }
            self.receive()?;
        }
        let count = self.input.bytes().len().min(space.len());
        space[..count].copy_from_slice(&self.input.bytes()[..count]);
        self.input.consume(count);
        Ok(count)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(super::super::input::BUFFER)];
        let count = self.tls.seal(bytes, &mut self.ciphertext)?;
        self.send()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
