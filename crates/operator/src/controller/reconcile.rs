//! The reconcile: observe · validate · decide · apply · record, until there is nothing more to do now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use loadtest::lifecycle::{Decision, SUSPENDED, decide};
use loadtest::observed::{CLOSING_SECONDS, Observed};
use loadtest::plan::{Plan, Problem, validate};
use loadtest::queue;
use loadtest::settings::Settings;
use loadtest::status::{self, WRITE_INTERVAL_SECONDS};
use loadtest::{LoadTest, Timestamp, events, stopping};
use metrics::checks::Ensure;

use super::publish::{Recorded, announce, announce_all, record};
use super::{Context, Error, apply, observe};

/// How soon to look again at what its user has to mend: a ConfigMap cannot be watched without a right to list them.
const WAIT: Duration = Duration::from_secs(5);
/// How soon to look again after somebody else's write; the cache needs a moment.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// From nothing to running takes six steps.
const MAX_STEPS: usize = 12;

/// Does all that can be done for a LoadTest now, and says when to look again.
pub async fn reconcile(cached: &LoadTest, context: &Context) -> Result<Action, Error> {
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
            announce(context, &observed, &status, now).await?;
            context.collection.forget(&observed.load_test);
            return Ok(after_the_end(&observed));
        }

        // record what the decision says, before anything that follows from it
        let mut look_again = None;
        if let Some(new) = status::next(&observed, &decision, now) {
            match record(context, &observed.load_test, &new, now).await? {
                Recorded::Stored(load_test) => observed.load_test = *load_test,
                Recorded::NotBefore(at) => look_again = Some(at),
                Recorded::Conflict => return Ok(Action::requeue(AFTER_CONFLICT)),
                Recorded::Gone => return Ok(Action::await_change()),
            }
            announce(context, &observed, &new, now).await?;
        }

        let load_test = observed.load_test.clone();
        let job = match &decision {
            Decision::Leave => return Ok(Action::await_change()),
            Decision::Wait(problem) => {
                // it takes no room from others while it cannot start
                lock(&context.admitted).remove(load_test.uid());
                let is_suspended = problem.reason == SUSPENDED;
                return Ok(if is_suspended { Action::await_change() } else { Action::requeue(WAIT) });
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
                continue;
            }
            Decision::MakePlan => {
                let files = observe::config_maps(context, &load_test).await?;
                let kit = context.collection.kit();
                plan = Some(
                    files
                        .and_then(|files| validate(&load_test, &files, kit, &context.settings))
                        .and_then(checked),
                );
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
                if let Err(problem) = admit(context, &load_test, now) {
                    plan = Some(Err(problem));
                    continue;
                }
                let doubtful = events::doubtful_checks(&observed, &doubts(new));
                // advice only: whatever keeps it from being given does not keep the test from its start
                if let Err(error) = announce_all(context, &load_test, doubtful, now).await {
                    tracing::warn!("cannot tell of a doubtful check: {error}");
                }
                let held = Held { context, uid: load_test.uid() };
                let created = apply::create_job(context, &load_test, new).await?;
                std::mem::forget(held);
                created
            }
            Decision::StartJob(uid) => apply::start_job(context, &load_test, uid, now).await?,
            Decision::EndJob(uid) => Ok(apply::end_job(context, &load_test, uid).await?),
            Decision::ExpireJob(uid, seconds) => {
                Ok(apply::expire_job(context, &load_test, uid, *seconds).await?)
            }
            Decision::DeleteStrayJob(uid) => Ok(apply::delete_stray_job(context, &load_test, uid).await?),
        };
        match job {
            Ok(job) => observed = observe::observed(context, load_test, job, now).await?,
            Err(problem) => plan = Some(Err(problem)),
        }
    }
    Err(Error::Unsettled)
}

/// Lets a load test go if there is room for it; one at a time, so that there are never too many.
fn admit(context: &Context, load_test: &LoadTest, now: Timestamp) -> Result<(), Problem> {
    let Settings { max_tests, max_tests_per_namespace, .. } = context.settings;
    if max_tests == 0 && max_tests_per_namespace == 0 {
        return Ok(());
    }
    let mut admitted = lock(&context.admitted);
    let all: Vec<_> = context.load_tests.state().iter().map(|test| context.memory.freshest(test)).collect();
    admitted.retain(|uid| all.iter().any(|test| test.uid() == uid && !test.is_settled()));
    queue::admit(load_test, all.iter(), &admitted, &context.settings, now)?;
    admitted.insert(load_test.uid().to_owned());
    Ok(())
}

/// Gives room back where creating a Job fails, or is given up.
struct Held<'a> {
    context: &'a Context,
    uid: &'a str,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(&self.context.admitted).remove(self.uid);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    checks.map(|checks| checks.doubts().iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// The duration ticks while a test runs; the timer costs no call.
fn next_look(observed: &Observed, not_before: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = |at: Timestamp| (at.as_millisecond() - now.as_millisecond()).max(1);
    let milliseconds = not_before.map_or(WRITE_INTERVAL_SECONDS * 1000, until);
    let moment =
        stopping::next_look(&observed.load_test, observed.job.ours(), now).map_or(milliseconds, until);
    Duration::from_millis(milliseconds.min(moment).unsigned_abs())
}

/// A Job that has not ended with the test may have to be ended.
fn after_the_end(observed: &Observed) -> Action {
    let is_open = observed.job.ours().is_some() && observed.workers.job_end.is_none();
    if is_open && !observed.is_long_over {
        return Action::requeue(Duration::from_secs(CLOSING_SECONDS.unsigned_abs()));
    }
    Action::await_change()
}
