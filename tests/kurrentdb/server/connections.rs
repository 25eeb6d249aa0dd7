//! The connections of a node, which can be broken one by one or all at once.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TlsConnectInfo};

/// Every connection that is open.
#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    sockets: HashMap<u64, std::net::TcpStream>,
}

impl Connections {
    /// Breaks one of them, whatever is going on over it.
    pub(super) fn break_one(&self, connection: ConnectionId) {
        if let Some(socket) = self.open().sockets.get(&connection.0) {
            // Nothing is left to break where the other side was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn break_all(&self) {
        for socket in self.open().sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn add(self: &Arc<Self>, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let handle = stream.try_clone()?;
        let mut open = self.open();
        open.last += 1;
        let id = open.last;
        open.sockets.insert(id, handle);
        drop(open);
        Ok(Connection { stream: TcpStream::from_std(stream)?, id: ConnectionId(id), all: Arc::clone(self) })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which connection a request came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionId(u64);

impl ConnectionId {
    /// Of a request with or without TLS.
    pub(super) fn of(extensions: &tonic::Extensions) -> Option<Self> {
        let plain = extensions.get::<Self>().copied();
        plain.or_else(|| extensions.get::<TlsConnectInfo<Self>>().map(|secure| *secure.get_ref()))
    }
}

/// Accepts connections for the server.
pub(super) struct Incoming {
    listener: TcpListener,
    connections: Arc<Connections>,
    counters: Arc<super::counters::Counters>,
}

impl Incoming {
    pub(super) fn new(
        listener: TcpListener,
        connections: Arc<Connections>,
        counters: Arc<super::counters::Counters>,
    ) -> Self {
        Self { listener, connections, counters }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (stream, _) = ready!(self.listener.poll_accept(context))?;
        super::counters::add(&self.counters.connections, 1);
        Poll::Ready(Some(self.connections.add(stream)))
    }
}

/// A connection that forgets itself when it goes.
pub(super) struct Connection {
    stream: TcpStream,
    id: ConnectionId,
    all: Arc<Connections>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open().sockets.remove(&self.id.0);
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionId;

    fn connect_info(&self) -> ConnectionId {
        self.id
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        // The client sends a request in two pieces, and the second waits for the first one's acknowledgement, which a system
        // holds back for 40 ms. It has to be asked for each time.
        #[cfg(target_os = "linux")]
        if read.is_ready() {
            let _ = self.stream.set_quickack(true);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
