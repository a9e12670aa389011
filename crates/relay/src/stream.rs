//! One byte stream to a peer, in clear or inside TLS, and the one way to read from it without holding a buffer while idle.
//!
//! Bytes are read into a buffer that belongs to the worker thread and copied from there, so that an idle connection owns
//! no read buffer at all: most connections of a gateway are idle, and their memory is what limits how many there can be.

use bytes::{Buf, BytesMut};
use lockgate_core::limits::READ_BUFFER_BYTES;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream with bytes that were read from it before a TLS handshake took over.
pub struct Prefixed {
    prefix: BytesMut,
    tcp: TcpStream,
}

impl Prefixed {
    /// `prefix` is read first.
    pub fn new(prefix: BytesMut, tcp: TcpStream) -> Self {
        Prefixed { prefix, tcp }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            if let Some(head) = self.prefix.get(..n) {
                buf.put_slice(head);
            }
            self.prefix.advance(n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A stream to a client or a target.
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Inside TLS, with us as the server.
    Server(Box<tokio_rustls::server::TlsStream<Prefixed>>),
    /// Inside TLS, with us as the client.
    Client(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Being handed to a handshake, or closed.
    Gone,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

impl Stream {
    /// Appends what is there to `into`. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        SCRATCH.with(|scratch| {
            let Ok(mut scratch) = scratch.try_borrow_mut() else {
                return Poll::Ready(Err(io::ErrorKind::WouldBlock.into()));
            };
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(match self {
                Stream::Plain(s) => Pin::new(s).poll_read(cx, &mut buf),
                Stream::Server(s) => Pin::new(s.as_mut()).poll_read(cx, &mut buf),
                Stream::Client(s) => Pin::new(s.as_mut()).poll_read(cx, &mut buf),
                Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            })?;
            let filled = buf.filled();
            into.extend_from_slice(filled);
            Poll::Ready(Ok(filled.len()))
        })
    }

    /// Writes from the front of `from` until nothing is left or the peer takes no more.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, from: &mut impl Buf) -> Poll<io::Result<()>> {
        while from.has_remaining() {
            let chunk = from.chunk();
            let n = ready!(match self {
                Stream::Plain(s) => Pin::new(s).poll_write(cx, chunk),
                Stream::Server(s) => Pin::new(s.as_mut()).poll_write(cx, chunk),
                Stream::Client(s) => Pin::new(s.as_mut()).poll_write(cx, chunk),
                Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            })?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            from.advance(n);
        }
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Server(s) => Pin::new(s.as_mut()).poll_flush(cx),
            Stream::Client(s) => Pin::new(s.as_mut()).poll_flush(cx),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Says goodbye: TLS close_notify and FIN.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Server(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
            Stream::Client(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}
