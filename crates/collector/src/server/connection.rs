//! A connection with patience: a client that is silent, or slow, at the wrong time is taken off.
//!
//! HTTP's own time-out for a request's head would also run while a connection is idle between requests; here the two differ.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;

/// What a connection is about.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

/// A request's head is awaited, on a new connection, or since its first byte.
const HEAD: u8 = 0;
/// A request is being answered: its body has its own time.
const ANSWERING: u8 = 1;
/// Nothing is asked.
const IDLE: u8 = 2;

impl Stage {
    /// A request's head has arrived.
    pub(super) fn answering(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// It has its answer.
    pub(super) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream that fails with `TimedOut` when its client is too slow.
pub(super) struct Patient<T> {
    stream: T,
    limits: Limits,
    stage: Arc<Stage>,
    /// The stage at the last read, and since when.
    seen: (u8, Instant),
    reading: Timer,
    /// Since when nothing can be written.
    blocked: Option<Instant>,
    writing: Timer,
}

impl<T> Patient<T> {
    pub(super) fn new(stream: T, limits: Limits, stage: Arc<Stage>) -> Self {
        let seen = (HEAD, Instant::now());
        Self {
            stream,
            limits,
            stage,
            seen,
            reading: Timer::default(),
            blocked: None,
            writing: Timer::default(),
        }
    }

    /// Until when something must have been read.
    fn read_deadline(&mut self) -> Option<Instant> {
        let stage = self.stage.0.load(Ordering::Relaxed);
        if stage != self.seen.0 {
            self.seen = (stage, Instant::now());
        }
        match stage {
            ANSWERING => None,
            IDLE => Some(self.seen.1 + self.limits.idle),
            _ => Some(self.seen.1 + self.limits.head),
        }
    }

    /// Fails a write that has been pending for too long.
    fn watch<V>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let since = *self.blocked.get_or_insert_with(Instant::now);
        if self.writing.poll(cx, since + self.limits.write) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                // the first byte of the next request; a head that is there whole is taken before the next read
                let first = this.stage.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
                if first.is_ok() {
                    this.seen = (HEAD, Instant::now());
                }
            }
            return read;
        }
        match this.read_deadline() {
            Some(deadline) if this.reading.poll(cx, deadline) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            _ => Poll::Pending,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A timer that is made when it is first needed, and moved as rarely as can be: one that rings too early is set again.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Whether the deadline has passed; if not, the task is woken then, or before.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}
