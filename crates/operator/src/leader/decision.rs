//! Who may act, decided from the Lease as it was read and from how long this process has seen it unchanged.
//!
//! Another's clock is never compared with ours: a Lease has expired when *we* have seen no change in it for its
//! duration (as client-go does it). Its `leaseTransitions` is the epoch: every process that leads has one of its own, also
//! one that takes back the Lease of its own pod, so that a leader knows when another has led in between.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Replace it in our name, with this epoch.
    Acquire {
        /// The new `leaseTransitions`.
        epoch: i32,
    },
    /// Replace it with a new renew time.
    Renew,
    /// Somebody else holds it.
    StandBy,
    /// It was ours, and is no more, or was another's in between: nothing may be written.
    Lost,
}

/// Decides about a Lease that this process has seen unchanged for `unchanged`. `epoch` is that in which it leads; `None`
/// before it does.
pub fn decide(
    me: &str,
    epoch: Option<i32>,
    lease: &LeaseSpec,
    unchanged: Duration,
    default_duration: Duration,
) -> Step {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let transitions = lease.lease_transitions.unwrap_or(0);
    if let Some(epoch) = epoch {
        return if holder == me && transitions == epoch { Step::Renew } else { Step::Lost };
    }
    let duration = lease
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .map_or(default_duration, Duration::from_secs);
    // our own Lease is that of an earlier process of this pod, which is dead
    if holder == me || holder.is_empty() || unchanged >= duration {
        Step::Acquire { epoch: transitions.saturating_add(1) }
    } else {
        Step::StandBy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(epoch: Option<i32>, holder: Option<&str>, unchanged_seconds: u64) -> Step {
        let lease = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        decide("me", epoch, &lease, Duration::from_secs(unchanged_seconds), Duration::from_secs(15))
    }

    #[test]
    fn a_restarted_container_takes_its_own_lease_back_at_once_in_an_epoch_of_its_own() {
        assert_eq!(step(None, Some("me"), 0), Step::Acquire { epoch: 5 });
    }

    #[test]
    fn a_leader_renews_its_lease_however_long_it_stood_still() {
        assert_eq!(step(Some(4), Some("me"), 0), Step::Renew);
        assert_eq!(step(Some(4), Some("me"), 99), Step::Renew);
    }

    #[test]
    fn a_leader_never_leads_on_once_another_has_led() {
        assert_eq!(step(Some(4), Some("other"), 0), Step::Lost);
        assert_eq!(step(Some(4), Some("other"), 99), Step::Lost, "even if that one is gone again");
        assert_eq!(step(Some(3), Some("me"), 0), Step::Lost, "a later process of the same pod");
        assert_eq!(step(Some(4), Some(""), 0), Step::Lost);
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        assert_eq!(step(None, None, 0), Step::Acquire { epoch: 5 });
        assert_eq!(step(None, Some(""), 0), Step::Acquire { epoch: 5 });
    }

    #[test]
    fn anothers_lease_is_taken_only_after_it_stood_still_for_its_duration() {
        assert_eq!(step(None, Some("other"), 0), Step::StandBy);
        assert_eq!(step(None, Some("other"), 14), Step::StandBy);
        assert_eq!(step(None, Some("other"), 15), Step::Acquire { epoch: 5 });
    }
}
