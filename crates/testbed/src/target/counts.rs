//! What the target has seen, as pure counting: `mod.rs` records each request here, `GET /counts` shows the sums.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Distinct (method, path, status) keys that are counted apart; requests of further keys go to [`Counts::other`].
pub const MAX_KEYS: usize = 10_000;
/// Longest path in bytes that is kept; a longer one is counted under its beginning.
pub const MAX_PATH_BYTES: usize = 1_024;
/// Longest method in bytes that is kept; a longer one is counted under its beginning.
pub const MAX_METHOD_BYTES: usize = 32;
/// How many seconds of arrivals are kept.
pub const ARRIVAL_SECONDS: usize = 3_600;

/// How often one method, path and status was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCount {
    /// The request's method, as sent.
    pub method: String,
    /// The request's path, without the query.
    pub path: String,
    /// The status that was decided for it.
    pub status: u16,
    /// Requests of this method, path and status.
    pub count: u64,
}

/// Everything counted since the start or the last reset: the body of `/counts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All requests: always the sum of `requests` and `other`.
    pub total: u64,
    /// Requests whose key came after [`MAX_KEYS`] others.
    pub other: u64,
    /// When the earliest request arrived, in milliseconds since the Unix epoch.
    pub first_request_unix_milliseconds: Option<u64>,
    /// When the latest request arrived, in milliseconds since the Unix epoch.
    pub last_request_unix_milliseconds: Option<u64>,
    /// One row per method, path and status, sorted by path, method and status.
    pub requests: Vec<RequestCount>,
}

impl Counts {
    /// Requests of this method whose path begins with `path_prefix`, whatever their status.
    pub fn count(&self, method: &str, path_prefix: &str) -> u64 {
        self.sum(|row| row.method == method && row.path.starts_with(path_prefix))
    }

    /// Requests that were given this status.
    pub fn count_status(&self, status: u16) -> u64 {
        self.sum(|row| row.status == status)
    }

    fn sum(&self, wanted: impl Fn(&RequestCount) -> bool) -> u64 {
        self.requests.iter().filter(|row| wanted(row)).map(|row| row.count).sum()
    }
}

/// Requests that arrived within one second of the wall clock: an element of `/arrivals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// The second, in seconds since the Unix epoch.
    pub second: u64,
    /// Requests that arrived in it.
    pub count: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    method: String,
    path: String,
    status: u16,
}

/// The counters themselves. Bounded: at most [`MAX_KEYS`] keys and [`ARRIVAL_SECONDS`] seconds.
#[derive(Default)]
pub struct Recorder {
    keys: HashMap<Key, u64>,
    total: u64,
    other: u64,
    first: Option<u64>,
    last: Option<u64>,
    /// A ring: second `s` lives at `s % ARRIVAL_SECONDS`. Empty until the first request.
    arrivals: Vec<Arrivals>,
}

impl Recorder {
    /// Counts one request that arrived at `arrived` (milliseconds since the Unix epoch). Requests may be recorded in
    /// another order than they arrived in.
    pub fn record(&mut self, method: &str, path: &str, status: u16, arrived: u64) {
        self.total += 1;
        self.first = Some(self.first.map_or(arrived, |first| first.min(arrived)));
        self.last = Some(self.last.map_or(arrived, |last| last.max(arrived)));
        self.arrive(arrived / 1_000);

        let key = Key {
            method: beginning(method, MAX_METHOD_BYTES),
            path: beginning(path, MAX_PATH_BYTES),
            status,
        };
        if let Some(count) = self.keys.get_mut(&key) {
            *count += 1;
        } else if self.keys.len() < MAX_KEYS {
            self.keys.insert(key, 1);
        } else {
            self.other += 1;
        }
    }

    fn arrive(&mut self, second: u64) {
        if self.arrivals.is_empty() {
            self.arrivals.resize(ARRIVAL_SECONDS, Arrivals::default());
        }
        let slot = &mut self.arrivals[(second % ARRIVAL_SECONDS as u64) as usize];
        if slot.second < second {
            *slot = Arrivals { second, count: 1 };
        } else if slot.second == second {
            slot.count += 1;
        } // else it is older than all that the ring holds
    }

    /// The counts as they are now.
    pub fn counts(&self) -> Counts {
        let mut requests: Vec<RequestCount> = (self.keys.iter())
            .map(|(key, &count)| RequestCount {
                method: key.method.clone(),
                path: key.path.clone(),
                status: key.status,
                count,
            })
            .collect();
        requests.sort_by(|a, b| (&a.path, &a.method, a.status).cmp(&(&b.path, &b.method, b.status)));
        Counts {
            total: self.total,
            other: self.other,
            first_request_unix_milliseconds: self.first,
            last_request_unix_milliseconds: self.last,
            requests,
        }
    }

    /// Arrivals per second, oldest first: the [`ARRIVAL_SECONDS`] seconds that end with the latest arrival. Seconds
    /// without a request are left out.
    pub fn arrivals(&self) -> Vec<Arrivals> {
        let newest = self.arrivals.iter().map(|slot| slot.second).max().unwrap_or(0);
        let mut seen: Vec<Arrivals> = (self.arrivals.iter().copied())
            .filter(|slot| slot.count > 0 && slot.second + ARRIVAL_SECONDS as u64 > newest)
            .collect();
        seen.sort_by_key(|slot| slot.second);
        seen
    }
}

fn beginning(text: &str, max_bytes: usize) -> String {
    text[..text.floor_char_boundary(max_bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(requests: &[(&str, &str, u16, u64)]) -> Recorder {
        let mut recorder = Recorder::default();
        for &(method, path, status, arrived) in requests {
            recorder.record(method, path, status, arrived);
        }
        recorder
    }

    #[test]
    fn nothing_seen_is_zero_everywhere() {
        assert_eq!(Recorder::default().counts(), Counts::default());
        assert_eq!(Recorder::default().arrivals(), []);
    }

    #[test]
    fn requests_are_counted_by_method_path_and_status_and_sorted() {
        let counts = recorded(&[
            ("POST", "/cart", 201, 5_000),
            ("GET", "/products", 200, 3_000),
            ("GET", "/products/1", 200, 4_000),
            ("GET", "/products", 200, 7_500),
            ("GET", "/products", 503, 6_000),
            ("BREW", "/pot", 404, 6_000),
        ])
        .counts();
        let rows: Vec<_> =
            counts.requests.iter().map(|r| (r.method.as_str(), r.path.as_str(), r.status, r.count)).collect();
        let expected = [
            ("POST", "/cart", 201, 1),
            ("BREW", "/pot", 404, 1),
            ("GET", "/products", 200, 2),
            ("GET", "/products", 503, 1),
            ("GET", "/products/1", 200, 1),
        ];
        assert_eq!(rows, expected);
        assert_eq!((counts.total, counts.other), (6, 0));
        assert_eq!(counts.first_request_unix_milliseconds, Some(3_000));
        assert_eq!(counts.last_request_unix_milliseconds, Some(7_500));
    }

    #[test]
    fn sums_select_by_method_prefix_and_status() {
        let counts = recorded(&[
            ("GET", "/products", 200, 1),
            ("GET", "/products/1", 200, 1),
            ("HEAD", "/products", 200, 1),
            ("GET", "/", 503, 1),
        ])
        .counts();
        for (method, prefix, expected) in [
            ("GET", "/products", 2),
            ("GET", "/products/", 1),
            ("GET", "/", 3),
            ("get", "/", 0),
            ("PUT", "/", 0),
        ] {
            assert_eq!(counts.count(method, prefix), expected, "{method} {prefix}");
        }
        for (status, expected) in [(200, 3), (503, 1), (404, 0)] {
            assert_eq!(counts.count_status(status), expected, "{status}");
        }
    }

    #[test]
    fn keys_are_bounded_and_the_total_stays_exact() {
        let mut recorder = Recorder::default();
        for i in 0..MAX_KEYS + 7 {
            recorder.record("GET", &format!("/{i}"), 404, 0);
        }
        recorder.record("GET", "/0", 404, 0);
        let counts = recorder.counts();
        assert_eq!((counts.requests.len(), counts.other, counts.total), (MAX_KEYS, 7, MAX_KEYS as u64 + 8));
        assert_eq!(counts.count("GET", "/") + counts.other, counts.total);
    }

    #[test]
    fn long_methods_and_paths_are_counted_under_their_beginning() {
        let path = format!("/{}", "é".repeat(MAX_PATH_BYTES)); // the bound falls inside an é
        let counts =
            recorded(&[(&"M".repeat(100), &path, 404, 0), (&"M".repeat(99), &path, 404, 0)]).counts();
        assert_eq!(counts.requests.len(), 1);
        assert_eq!(counts.requests[0].method.len(), MAX_METHOD_BYTES);
        assert_eq!(counts.requests[0].path.len(), MAX_PATH_BYTES - 1);
        assert_eq!(counts.requests[0].count, 2);
    }

    #[test]
    fn arrivals_keep_the_last_hour() {
        let hour = ARRIVAL_SECONDS as u64;
        for (name, arrived, expected) in [
            ("one second", vec![7_000, 7_999], vec![(7, 2)]),
            ("out of order", vec![9_000, 7_000, 9_500], vec![(7, 1), (9, 2)]),
            ("exactly within", vec![7_000, (hour + 6) * 1_000], vec![(7, 1), (hour + 6, 1)]),
            ("just outside", vec![7_000, 8_000, (hour + 7) * 1_000], vec![(8, 1), (hour + 7, 1)]),
            ("older than the ring", vec![(hour + 7) * 1_000, 7_000], vec![(hour + 7, 1)]),
        ] {
            let mut recorder = Recorder::default();
            for &at in &arrived {
                recorder.record("GET", "/", 200, at);
            }
            let seen: Vec<_> = recorder.arrivals().iter().map(|slot| (slot.second, slot.count)).collect();
            assert_eq!(seen, expected, "{name}");
            assert_eq!(recorder.counts().total, arrived.len() as u64, "{name}");
        }
    }

    #[test]
    fn counts_survive_json() {
        let counts = recorded(&[("GET", "/", 200, 1_500)]).counts();
        let json = serde_json::json!({
            "total": 1, "other": 0,
            "firstRequestUnixMilliseconds": 1500, "lastRequestUnixMilliseconds": 1500,
            "requests": [{"method": "GET", "path": "/", "status": 200, "count": 1}],
        });
        assert_eq!(serde_json::to_value(&counts).ok(), Some(json.clone()));
        assert_eq!(serde_json::from_value::<Counts>(json).ok(), Some(counts));
    }
}
