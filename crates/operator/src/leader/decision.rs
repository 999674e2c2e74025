//! Who may act, decided from the Lease as it was read and from how long this process has seen it unchanged.
//!
//! Another's clock is never compared with ours: a Lease has expired when *we* have seen no change in it for its
//! duration (as client-go does it).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Replace it in our name; the number of transitions goes up with it.
    Acquire {
        /// The new `leaseTransitions`.
        transitions: i32,
    },
    /// Replace it with a new renew time.
    Renew,
    /// Somebody else holds it.
    StandBy,
}

/// Decides about a Lease that this process has seen unchanged for `unchanged`.
pub fn decide(me: &str, lease: &LeaseSpec, unchanged: Duration, default_duration: Duration) -> Step {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let transitions = lease.lease_transitions.unwrap_or(0);
    let duration = lease
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .map_or(default_duration, Duration::from_secs);
    if holder == me {
        Step::Renew
    } else if holder.is_empty() || unchanged >= duration {
        Step::Acquire { transitions: transitions.saturating_add(1) }
    } else {
        Step::StandBy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(holder: Option<&str>, unchanged_seconds: u64) -> Step {
        let lease = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        decide("me", &lease, Duration::from_secs(unchanged_seconds), Duration::from_secs(15))
    }

    #[test]
    fn ones_own_lease_is_renewed_even_by_a_restarted_process() {
        assert_eq!(step(Some("me"), 0), Step::Renew);
        assert_eq!(step(Some("me"), 99), Step::Renew);
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        assert_eq!(step(None, 0), Step::Acquire { transitions: 5 });
        assert_eq!(step(Some(""), 0), Step::Acquire { transitions: 5 });
    }

    #[test]
    fn anothers_lease_is_taken_only_after_it_stood_still_for_its_duration() {
        assert_eq!(step(Some("other"), 0), Step::StandBy);
        assert_eq!(step(Some("other"), 14), Step::StandBy);
        assert_eq!(step(Some("other"), 15), Step::Acquire { transitions: 5 });
    }
}
