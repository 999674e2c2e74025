//! `ws://…/echo`: a WebSocket that sends back each message, and counts it.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;

use super::{Target, unix_milliseconds};

/// Where it is.
pub const PATH: &str = "/echo";
/// The method under which a message is counted; its status is [`SWITCHED`].
pub const MESSAGE: &str = "MESSAGE";
/// Switching protocols: what the request that opened the WebSocket was answered with.
pub const SWITCHED: u16 = 101;
/// Largest message in bytes; a larger one ends the connection, uncounted.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Switches to a WebSocket that echoes until its client closes it.
pub fn switch(target: Arc<Target>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| echo(target, socket))
}

/// A broken connection ends it as a closed one does: what came before is counted.
async fn echo(target: Arc<Target>, mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        // pings are answered, and closing is confirmed, by the library
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            continue;
        }
        target.recorder().record(MESSAGE, PATH, SWITCHED, unix_milliseconds());
        if socket.send(message).await.is_err() {
            break;
        }
    }
}
