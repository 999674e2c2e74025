//! The reconcile: observe · validate · decide · apply · record, until there is nothing more to do now.

use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use loadtest::lifecycle::{Decision, SUSPENDED, decide};
use loadtest::observed::{CLOSING_SECONDS, Observed};
use loadtest::plan::{INVALID_SPEC, Plan, Problem, validate};
use loadtest::queue;
use loadtest::script::IDLE_CHECKS;
use loadtest::status::{self, WRITE_INTERVAL_SECONDS};
use loadtest::{LoadTest, LoadTestStatus, Timestamp, events, stopping};
use metrics::checks::Ensure;
use tokio::time::timeout;

use super::publish::{Recorded, announce, announce_all, record};
use super::turns::Held;
use super::{Context, Error, apply, observe};

/// How soon to look again after somebody else's write; the cache needs a moment.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// A webhook has 10 s to answer, where it does not say otherwise; the reconcile has more to do.
const DRY_RUN: Duration = Duration::from_secs(15);
/// Events are told beside what is done, which does not wait for long.
const ANNOUNCING: Duration = Duration::from_secs(5);
/// No timer runs for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// From nothing to running takes six steps.
const MAX_STEPS: usize = 12;

/// Does all that can be done for a LoadTest now, and says when to look again.
///
/// # Errors
/// The API server said no, or nothing: then again later. An event that cannot be written is one, but keeps nothing from being done.
pub async fn reconcile(cached: &LoadTest, context: &Context) -> Result<Action, Error> {
    let mut unsaid = None;
    let action = steps(cached, context, &mut unsaid).await?;
    unsaid.map_or(Ok(action), Err)
}

/// Tells what is to be told by events, unless that failed a moment ago; why it fails is `unsaid`.
async fn tell(
    context: &Context,
    observed: &Observed,
    status: &LoadTestStatus,
    now: Timestamp,
    unsaid: &mut Option<Error>,
) {
    if unsaid.is_none() {
        let told = timeout(ANNOUNCING, announce(context, observed, status, now)).await;
        *unsaid = told.unwrap_or(Err(Error::TimedOut(ANNOUNCING))).err();
    }
}

async fn steps(cached: &LoadTest, context: &Context, unsaid: &mut Option<Error>) -> Result<Action, Error> {
    let namespace = cached.metadata.namespace.as_deref().unwrap_or_default();
    let pods = context.pods.count(namespace, cached.name());
    if let Some(wait) = context.memory.wait_to_count(cached.uid(), pods, Instant::now()) {
        return Ok(Action::requeue(wait));
    }
    let mut observed = observe::observe(context, cached, Timestamp::now()).await?;
    let mut plan: Option<Result<Plan, Problem>> = None;
    for _ in 0..MAX_STEPS {
        let now = Timestamp::now();
        let decision = decide(&observed, plan.take());
        tracing::debug!(?decision, "decided");
        if let Decision::Leave = decision {
            // a manager that was killed after the last status left its event unsaid
            let status = observed.load_test.status.clone().unwrap_or_default();
            tell(context, &observed, &status, now, unsaid).await;
            context.collection.forget(&observed.load_test);
            // a finalizer may keep it for long
            if observed.load_test.metadata.deletion_timestamp.is_some() {
                context.turns.ended(&observed.load_test);
            }
            return Ok(after_the_end(&observed));
        }

        // record what the decision says, before anything that follows from it
        let mut look_again = None;
        let had_place = queue::has_place(&observed.load_test);
        if let Some(new) = status::next(&observed, &decision, now) {
            match record(context, &observed.load_test, &new, now).await? {
                Recorded::Stored(load_test) => observed.load_test = *load_test,
                Recorded::NotBefore(at) => look_again = Some(at),
                Recorded::Conflict => return Ok(Action::requeue(AFTER_CONFLICT)),
                Recorded::Gone => return Ok(Action::await_change()),
            }
            tell(context, &observed, &new, now, unsaid).await;
        }

        let load_test = observed.load_test.clone();
        let job = match &decision {
            Decision::Leave => return Ok(Action::await_change()),
            Decision::Wait(problem) => {
                // it takes no room from others while it cannot start
                context.turns.take_back(&load_test, had_place && problem.reason != queue::QUEUED);
                let is_suspended = problem.reason == SUSPENDED;
                return Ok(if is_suspended {
                    Action::await_change()
                } else {
                    Action::requeue(status::look_again(&load_test, now))
                });
            }
            Decision::Stop(_) => {
                context.collection.stop(&load_test);
                if let Decision::EndJob(_) = decide(&observed, None) {
                    continue;
                }
                return Ok(Action::requeue(next_look(&observed, look_again, now)));
            }
            Decision::Follow | Decision::WaitForWorkers(_) => {
                return Ok(Action::requeue(next_look(&observed, look_again, now)));
            }
            Decision::Finish(outcome) => {
                tracing::info!(outcome = outcome.reason(), "the load test is over");
                context.turns.wake_next();
                continue;
            }
            Decision::MakePlan => {
                if queue::is_told_to_wait(&load_test)
                    && let Err(problem) = context.turns.look(&load_test, now)
                {
                    plan = Some(Err(problem));
                    continue;
                }
                let files = observe::config_maps(context, &load_test).await?;
                let kit = context.collection.kit();
                let made = files
                    .and_then(|files| validate(&load_test, &files, kit, &context.settings))
                    .and_then(checked);
                plan = Some(match made {
                    // nothing else shows what the API server has against it before it is let go
                    Ok(new) if load_test.spec.suspend == Some(true) => {
                        objection(context, &load_test, &new).await.map_or(Ok(new), Err)
                    }
                    made => made,
                });
                continue;
            }
            Decision::Conclude(outcome) => {
                let conclusion = context.collection.conclude(&observed, *outcome, now).await?;
                observed.conclusion = Some(conclusion);
                continue;
            }
            Decision::RecordJob(uid) => {
                tracing::info!(uid, "recorded the Job");
                continue;
            }
            Decision::CreateJob(new) => {
                if let Err(problem) = context.turns.admit(&load_test, now) {
                    let is_known = queue::is_told_to_wait(&load_test);
                    let said = if is_known { None } else { objection(context, &load_test, new).await };
                    // a quota may have room by then: for that it does not lose its place
                    let lasting = said.filter(|said| said.reason == INVALID_SPEC);
                    plan = Some(Err(lasting.unwrap_or(problem)));
                    continue;
                }
                let doubtful = events::doubtful_checks(&observed, &doubts(new));
                let unknown = new.unknown_environment.as_deref();
                let unknown = unknown.map(|why| events::unknown_environment(&observed, why));
                // advice only: whatever keeps it from being given does not keep the test from its start
                let advice = doubtful.into_iter().chain(unknown);
                if let Err(error) = announce_all(context, &load_test, advice, now).await {
                    tracing::warn!("cannot tell of a doubtful check or environment: {error}");
                }
                let held = Held::new(&context.turns, &load_test);
                let created = apply::create_job(context, &load_test, new).await?;
                held.keep();
                created
            }
            Decision::StartJob(uid) => apply::start_job(context, &load_test, uid, now).await?,
            Decision::EndJob(uid) => Ok(apply::end_job(context, &load_test, uid).await?),
            Decision::ExpireJob(uid, seconds) => {
                Ok(apply::expire_job(context, &load_test, uid, *seconds).await?)
            }
            Decision::RemoveJob(uid) => Ok(apply::remove_job(context, &load_test, uid).await?),
            Decision::DeleteStrayJob(uid) => Ok(apply::delete_stray_job(context, &load_test, uid).await?),
        };
        match job {
            Ok(job) => observed = observe::observed(context, load_test, job, now).await?,
            Err(problem) => plan = Some(Err(problem)),
        }
    }
    Err(Error::Unsettled)
}

/// What the API server has against the Job, as far as it tells before it is made. It is advice: whatever keeps it from being given
/// does not keep the test from the rest.
async fn objection(context: &Context, load_test: &LoadTest, plan: &Plan) -> Option<Problem> {
    match timeout(DRY_RUN, apply::check_job(context, load_test, plan)).await {
        Ok(Ok(said)) => return said.err(),
        Ok(Err(error)) => tracing::warn!("{error}; it is judged when it is made"),
        Err(_) => {
            tracing::warn!("its Job was not checked in {} s; it is judged when it is made", DRY_RUN.as_secs())
        }
    }
    None
}

/// A plan whose checks can be evaluated, as far as that can be told before Artillery has resolved them.
fn checked(plan: Plan) -> Result<Plan, Problem> {
    match plan.ensure.as_ref().map(Ensure::as_written) {
        Some(Err(error)) => Err(Problem::invalid_ensure(&error.to_string())),
        Some(Ok(_)) | None => Ok(plan),
    }
}

/// What may be wrong with the checks of such a plan.
fn doubts(plan: &Plan) -> Vec<String> {
    let checks = plan.ensure.as_ref().and_then(|ensure| Ensure::as_written(ensure).ok().flatten());
    let of_checks = checks.map(|checks| checks.doubts()).unwrap_or_default();
    let idle = plan.has_idle_checks.then(|| IDLE_CHECKS.to_owned());
    of_checks.iter().map(ToString::to_string).chain(idle).collect()
}

/// The duration ticks while a test runs; the timer costs no call.
fn next_look(observed: &Observed, not_before: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = |at: Timestamp| (at.as_millisecond() - now.as_millisecond()).max(1);
    let milliseconds = not_before.map_or(WRITE_INTERVAL_SECONDS * 1000, until);
    let moment =
        stopping::next_look(&observed.load_test, observed.job.ours(), now).map_or(milliseconds, until);
    Duration::from_millis(milliseconds.min(moment).unsigned_abs())
}

/// A Job that has not ended with the test may have to be ended, or, where it never ends, to be removed.
fn after_the_end(observed: &Observed) -> Action {
    let is_open = observed.job.ours().is_some() && observed.workers.job_end.is_none();
    if !is_open {
        return Action::await_change();
    }
    let closing = (!observed.is_long_over).then(|| Duration::from_secs(CLOSING_SECONDS.unsigned_abs()));
    // once that is past only a change of the Job is worth a look
    let ahead = observed.expires_at.filter(|at| *at > observed.now);
    let expiry = ahead.map(|at| {
        let seconds = at.as_second() - observed.now.as_second() + 1;
        Duration::from_secs(seconds.unsigned_abs()).min(LONGEST_WAIT)
    });
    closing.into_iter().chain(expiry).min().map_or_else(Action::await_change, Action::requeue)
}
