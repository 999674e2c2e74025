//! What the target answers: a small shop, as a pure function from a request's line to its reply; `mod.rs` serves it.

use std::time::Duration;

use serde_json::{Value, json};

/// Longest delay that `?delayMilliseconds` may ask for.
pub const MAX_DELAY_MILLISECONDS: u64 = 30_000;

const PRODUCTS: [(&str, u32); 12] = [
    ("Espresso cup", 900),
    ("Moka pot", 3_400),
    ("Hand grinder", 7_900),
    ("Kettle", 5_900),
    ("Paper filters", 450),
    ("Dripper", 2_100),
    ("Scale", 4_800),
    ("Tamper", 2_600),
    ("Milk jug", 1_900),
    ("Descaler", 1_100),
    ("House blend", 1_250),
    ("Decaf", 1_350),
];

/// What the client gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Status code, 200 to 599.
    pub status: u16,
    /// How long the answer is held back.
    pub delay: Duration,
    /// The JSON body; none for the statuses that HTTP sends without one.
    pub body: Option<Value>,
}

impl Reply {
    /// An immediate reply with an error message.
    pub fn error(status: u16, message: &str) -> Self {
        Self { status, delay: Duration::ZERO, body: Some(json!({"error": message})) }
    }
}

/// The reply to a request. `ordinal` (any number, best a new one each time) names the cart or order that it makes.
///
/// The routes are `GET /`, `/health`, `/products` and `/products/{1..12}`, `POST /cart` and `/checkout`; HEAD is
/// answered as GET, everything else with 404. On these routes `?delayMilliseconds=N` holds the answer back and
/// `?status=CODE` replaces its status; a bad value is a 400. Other query parameters are ignored.
pub fn reply(method: &str, path: &str, query: &str, ordinal: u64) -> Reply {
    let Some((status, body)) = route(method, path, ordinal) else {
        return Reply::error(404, &format!("there is no {} {}", shown(method), shown(path)));
    };
    let (delay, wanted) = match shape(query) {
        Ok(shape) => shape,
        Err(message) => return Reply::error(400, &message),
    };
    let status = wanted.unwrap_or(status);
    let body = (!matches!(status, 204 | 205 | 304)).then_some(body);
    Reply { status, delay, body }
}

fn route(method: &str, path: &str, ordinal: u64) -> Option<(u16, Value)> {
    let method = if method == "HEAD" { "GET" } else { method };
    match (method, path) {
        ("GET", "/") => Some((200, json!({"shop": "loadtest-target", "products": "/products"}))),
        ("GET", "/health") => Some((200, json!({"status": "ok"}))),
        ("GET", "/products") => {
            let products: Vec<Value> = (1..=PRODUCTS.len()).filter_map(product).collect();
            Some((200, json!({ "products": products })))
        }
        ("POST", "/cart") => Some((201, json!({"cartId": format!("cart-{ordinal}")}))),
        ("POST", "/checkout") => {
            Some((201, json!({"orderId": format!("order-{ordinal}"), "status": "accepted"})))
        }
        ("GET", path) => Some((200, product(path.strip_prefix("/products/")?.parse().ok()?)?)),
        _ => None,
    }
}

fn product(id: usize) -> Option<Value> {
    let (name, price) = PRODUCTS.get(id.checked_sub(1)?)?;
    Some(json!({"id": id, "name": name, "priceCents": price}))
}

/// The delay and the status that the query asks for.
fn shape(query: &str) -> Result<(Duration, Option<u16>), String> {
    let delay = parameter(query, "delayMilliseconds", 0, MAX_DELAY_MILLISECONDS)?.unwrap_or(0);
    // statuses below 200 are interim: a client would go on waiting for the answer proper
    let status = parameter(query, "status", 200, 599)?;
    Ok((Duration::from_millis(delay), status.map(|status| status as u16)))
}

/// A whole-number query parameter; `None` if it is not there.
fn parameter(query: &str, name: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
    let mut values = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(format!(
            "{name} is given more than once: give it once, a whole number from {min} to {max}"
        ));
    }
    match value.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(format!("{name} is \"{}\": give a whole number from {min} to {max}", shown(value))),
    }
}

/// As much of a client's text as is worth repeating to it.
fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_what_is_none() {
        for (method, path, status) in [
            ("GET", "/", 200),
            ("HEAD", "/", 200),
            ("GET", "/health", 200),
            ("GET", "/products", 200),
            ("GET", "/products/1", 200),
            ("GET", "/products/12", 200),
            ("POST", "/cart", 201),
            ("POST", "/checkout", 201),
            ("GET", "/products/0", 404),
            ("GET", "/products/13", 404),
            ("GET", "/products/-1", 404),
            ("GET", "/products/kettle", 404),
            ("GET", "/products/", 404),
            ("GET", "/cart", 404),
            ("POST", "/products/1", 404),
            ("BREW", "/", 404),
            ("get", "/", 404),
            ("OPTIONS", "*", 404),
            ("CONNECT", "", 404),
        ] {
            let reply = reply(method, path, "", 1);
            assert_eq!((reply.status, reply.delay), (status, Duration::ZERO), "{method} {path}");
            assert!(reply.body.is_some_and(|body| body.is_object()), "{method} {path}");
        }
    }

    #[test]
    fn parameters_shape_the_reply() {
        for (query, status, delay) in [
            ("", 200, 0),
            ("page=2", 200, 0),
            ("delayMilliseconds=0", 200, 0),
            ("delayMilliseconds=30000", 200, 30_000),
            ("status=503", 503, 0),
            ("status=200&delayMilliseconds=15", 200, 15),
            ("x&status=599", 599, 0),
        ] {
            let reply = reply("GET", "/products", query, 1);
            assert_eq!((reply.status, reply.delay), (status, Duration::from_millis(delay)), "{query}");
        }
    }

    #[test]
    fn a_bad_parameter_is_named_with_its_value_and_what_is_right() {
        for (query, message) in [
            (
                "delayMilliseconds=30001",
                "delayMilliseconds is \"30001\": give a whole number from 0 to 30000",
            ),
            ("delayMilliseconds=", "delayMilliseconds is \"\": give a whole number from 0 to 30000"),
            ("delayMilliseconds", "delayMilliseconds is \"\": give a whole number from 0 to 30000"),
            ("delayMilliseconds=1.5", "delayMilliseconds is \"1.5\": give a whole number from 0 to 30000"),
            ("status=199", "status is \"199\": give a whole number from 200 to 599"),
            ("status=-1", "status is \"-1\": give a whole number from 200 to 599"),
            (
                "status=200&status=200",
                "status is given more than once: give it once, a whole number from 200 to 599",
            ),
        ] {
            assert_eq!(reply("GET", "/", query, 1), Reply::error(400, message), "{query}");
        }
        assert_eq!(reply("GET", "/nowhere", "status=abc", 1).status, 404, "an unknown route comes first");
    }

    #[test]
    fn long_text_is_not_repeated_whole() {
        let body = reply("GET", "/", &format!("status={}", "é".repeat(10_000)), 1).body;
        assert!(body.is_some_and(|body| body.to_string().len() < 250));
    }

    #[test]
    fn statuses_without_a_body_have_none() {
        for status in [204, 205, 304] {
            assert_eq!(reply("GET", "/", &format!("status={status}"), 1).body, None, "{status}");
        }
    }

    #[test]
    fn carts_and_orders_have_their_own_names() {
        assert_eq!(reply("POST", "/cart", "", 7).body, Some(json!({"cartId": "cart-7"})));
        assert_eq!(
            reply("POST", "/checkout", "", 8).body,
            Some(json!({"orderId": "order-8", "status": "accepted"}))
        );
    }
}
