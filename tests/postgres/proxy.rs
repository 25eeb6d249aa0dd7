//! A way to a server that can be cut at any moment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Forwards connections to a server until they are cut.
pub(crate) struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<(TcpStream, TcpStream)>>>,
}

impl Proxy {
    /// A port on 127.0.0.1 in front of a port on 127.0.0.1.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let open: Arc<Mutex<Vec<(TcpStream, TcpStream)>>> = Arc::default();
        let accepted = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    forward(from.try_clone().unwrap(), to.try_clone().unwrap());
                }
                accepted.lock().unwrap().push((client, server));
            }
        });
        Self { port, open }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection. The client hears of it at once; the server after a while, so that what it was doing goes
    /// on, with nobody to tell.
    pub(crate) fn cut(&self, server_hears_after: Duration) -> usize {
        let cut: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        let count = cut.len();
        for (client, _) in &cut {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
        thread::spawn(move || {
            thread::sleep(server_hears_after);
            for (_, server) in cut {
                let _ = server.shutdown(Shutdown::Both);
            }
        });
        count
    }
}

/// Copies bytes one way until an end. The other end is not told, so that one side can outlive the other.
fn forward(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
        // What ends in an orderly way is passed on.
        let _ = to.shutdown(Shutdown::Write);
    });
}
