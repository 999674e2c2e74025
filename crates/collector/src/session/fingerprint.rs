//! What a worker's counters come to, in eight bytes: enough to tell whether its own totals are those that were received.

/// The sum of each count times a number made of its name, modulo 2^64. It is linear: that of all batches is the sum of theirs,
/// and names that count 0 do not matter. Two different sets of counters have the same one by chance only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Adds counts by name.
    pub fn add_all<'a>(&mut self, counters: impl IntoIterator<Item = (&'a str, u64)>) {
        for (name, count) in counters {
            self.0 = self.0.wrapping_add(count.wrapping_mul(number(name)));
        }
    }
}

impl<'a> FromIterator<(&'a str, u64)> for Fingerprint {
    fn from_iter<T: IntoIterator<Item = (&'a str, u64)>>(counters: T) -> Self {
        let mut fingerprint = Self::default();
        fingerprint.add_all(counters);
        fingerprint
    }
}

/// An odd number of a name: FNV-1a, and the last step of splitmix64 to spread its bits. It is stored, so it must stay as it is.
fn number(name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_of_all_is_the_sum_of_the_parts_and_nothing_counts_as_nothing() {
        let mut parts = Fingerprint::default();
        parts.add_all([("http.requests", 3), ("vusers.created", 1)]);
        parts.add_all([("http.requests", 4), ("vusers.failed", 0)]);
        assert_eq!(parts, [("vusers.created", 1), ("http.requests", 7)].into_iter().collect());
    }

    #[test]
    fn other_counts_and_other_names_give_another() {
        let of = |name, count| [(name, count)].into_iter().collect::<Fingerprint>();
        assert_ne!(of("http.requests", 3), of("http.requests", 4));
        assert_ne!(of("http.requests", 3), of("http.responses", 3));
    }

    #[test]
    fn it_stays_as_it_is_for_it_is_stored() {
        assert_eq!(number("http.requests"), 0x8e85_b927_b622_2e3d);
    }
}
