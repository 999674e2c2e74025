//! Apply: the writes to Jobs that a decision asks for, each safe to repeat and to race.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use loadtest::job::{Start, start};
use loadtest::plan::{Plan, Problem, WEBHOOK_FAILED};
use loadtest::reporter::Kit;
use loadtest::{LoadTest, Timestamp, job, reporter};
use serde_json::Value;

use super::observe::get_job;
use super::{Context, Error, cache};

fn jobs(context: &Context, load_test: &LoadTest) -> Api<Job> {
    Api::namespaced(context.client.clone(), load_test.metadata.namespace.as_deref().unwrap_or_default())
}

/// Creates what the workers' pods mount, which must be there before them. Returns what the API server has against it.
pub async fn create_reporter(
    context: &Context,
    load_test: &LoadTest,
    kit: &Kit,
) -> Result<Result<(), Problem>, Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let config_maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let config_map = reporter::config_map(load_test, kit);
    match config_maps.create(&PostParams::default(), &config_map).await {
        Ok(_) => Ok(Ok(())),
        // made by an earlier look, most likely
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let name = config_map.metadata.name.as_deref().unwrap_or_default();
            let there = config_maps.get(name).await.map_err(Error::api("read its reporter's ConfigMap"))?;
            Ok(if reporter::is_config_map(&there, load_test, kit) {
                Ok(())
            } else {
                Err(Problem::job_refused(&format!(
                    "there is a ConfigMap \"{name}\" that is not the operator's: delete it"
                )))
            })
        }
        Err(kube::Error::Api(status)) if is_refusal(&status) => {
            Ok(Err(Problem::job_refused(&status.message)))
        }
        Err(error) => Err(Error::api("create its reporter's ConfigMap")(error)),
    }
}

/// Creates the Job, suspended. Returns the Job of that name as it is afterwards, whoever made it, or what the API
/// server has against it.
pub async fn create_job(
    context: &Context,
    load_test: &LoadTest,
    plan: &Plan,
) -> Result<Result<Option<Job>, Problem>, Error> {
    if let (Some(_), Some(kit)) = (&plan.reporter, context.collection.kit())
        && let Err(problem) = create_reporter(context, load_test, kit).await?
    {
        return Ok(Err(problem));
    }
    let job = job::build(load_test, plan);
    match jobs(context, load_test).create(&PostParams::default(), &job).await {
        Ok(mut job) => {
            tracing::info!(uid = job.metadata.uid, workers = plan.workers, "created the Job");
            cache::strip_job(&mut job);
            Ok(Ok(Some(job)))
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(Ok(get_job(context, load_test).await?))
        }
        Err(kube::Error::Api(status)) if is_refusal(&status) => Ok(Err(refusal(&status, &job))),
        Err(error) => Err(Error::api("create its Job")(error)),
    }
}

/// Returns what the API server has against the Job that a load test would have; nothing is made.
pub async fn check_job(
    context: &Context,
    load_test: &LoadTest,
    plan: &Plan,
) -> Result<Result<(), Problem>, Error> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let job = job::build(load_test, plan);
    match jobs(context, load_test).create(&dry_run, &job).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.is_already_exists() || takes_no_dry_run(&status) => {
            Ok(Ok(()))
        }
        Err(kube::Error::Api(status)) if is_refusal(&status) => Ok(Err(refusal(&status, &job))),
        Err(error) => Err(Error::api("check its Job")(error)),
    }
}

/// Whether it is only a webhook that cannot be asked without acting: then the Job is judged when it is made.
fn takes_no_dry_run(status: &Status) -> bool {
    status.code == 400 && status.message.contains("does not support dry run")
}

/// Unsuspends the Job with that UID. Returns the Job of that name as it is afterwards, which is another one if that
/// Job is gone, or what the API server has against it.
pub async fn start_job(
    context: &Context,
    load_test: &LoadTest,
    uid: &str,
    now: Timestamp,
) -> Result<Result<Option<Job>, Problem>, Error> {
    let patch = serde_json::from_value(job::start_patch(uid, now)).map_err(Error::Patch)?;
    let patched = jobs(context, load_test)
        .patch(load_test.name(), &PatchParams::default(), &Patch::<()>::Json(patch))
        .await;
    match patched {
        Ok(mut job) => {
            tracing::info!(uid, "started the workers");
            cache::strip_job(&mut job);
            // the next look may come before the cache has it, and would start it again, in vain
            context.memory.wrote_job(load_test.uid(), job.clone());
            Ok(Ok(Some(job)))
        }
        Err(kube::Error::Api(status))
            if status.is_not_found() || status.is_conflict() || is_refusal(&status) =>
        {
            let job = get_job(context, load_test).await?;
            let is_startable = |job: &Job| is_it(Some(job), uid) && start(job) == Start::Never;
            match job {
                // its tests hold, so it was admission that said no
                Some(job) if is_startable(&job) && is_refusal(&status) => Ok(Err(refusal(&status, &job))),
                // another Job, or started already
                job => Ok(Ok(job)),
            }
        }
        Err(error) => Err(Error::api("start its Job")(error)),
    }
}

/// Tells the Job with that UID to end. Returns the Job of that name as it is afterwards.
pub async fn end_job(context: &Context, load_test: &LoadTest, uid: &str) -> Result<Option<Job>, Error> {
    tracing::info!(uid, "ends the Job, for some of its pods have not ended");
    patch_job(context, load_test, uid, job::end_patch(uid), "end its Job").await
}

/// Lets Kubernetes remove the Job with that UID so many seconds after its end, or keep it. Returns the Job of that name as it is afterwards.
pub async fn expire_job(
    context: &Context,
    load_test: &LoadTest,
    uid: &str,
    seconds: Option<i32>,
) -> Result<Option<Job>, Error> {
    patch_job(context, load_test, uid, job::expire_patch(uid, seconds), "let its Job expire").await
}

/// Changes the Job with that UID, and no other.
async fn patch_job(
    context: &Context,
    load_test: &LoadTest,
    uid: &str,
    patch: Value,
    doing: &'static str,
) -> Result<Option<Job>, Error> {
    let patch = serde_json::from_value(patch).map_err(Error::Patch)?;
    let patched = jobs(context, load_test)
        .patch(load_test.name(), &PatchParams::default(), &Patch::<()>::Json(patch))
        .await;
    match patched {
        Ok(mut job) => {
            cache::strip_job(&mut job);
            // the next look may come before the cache has it, and would patch it again, in vain
            context.memory.wrote_job(load_test.uid(), job.clone());
            Ok(Some(job))
        }
        Err(error) => match (get_job(context, load_test).await?, &error) {
            (job, kube::Error::Api(status)) if status.is_not_found() => Ok(job),
            // the patch's test failed: it is another Job
            (job, kube::Error::Api(status)) if status.is_invalid() && !is_it(job.as_ref(), uid) => Ok(job),
            _ => Err(Error::api(doing)(error)),
        },
    }
}

fn is_it(job: Option<&Job>, uid: &str) -> bool {
    job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid))
}

/// What such an answer says of the Job.
fn refusal(status: &Status, job: &Job) -> Problem {
    Problem::job_answered(status.code, &status.message, job)
}

/// Whether the API server's answer is a no that is to be told: by admission, also where its webhook does not answer, for want of a
/// right, or for its size (413, or etcd's own words).
fn is_refusal(status: &Status) -> bool {
    let is_error_of = |words| status.code == 500 && status.message.contains(words);
    let is_too_large = status.code == 413 || is_error_of("request is too large");
    let is_unanswered = is_error_of(WEBHOOK_FAILED);
    status.is_forbidden() || status.is_invalid() || status.code == 400 || is_too_large || is_unanswered
}

/// Deletes the Job with that UID, of which it is known that it never had a pod. Returns the Job of that name as it is
/// afterwards.
pub async fn delete_stray_job(
    context: &Context,
    load_test: &LoadTest,
    uid: &str,
) -> Result<Option<Job>, Error> {
    if delete_job(context, load_test, uid).await? {
        tracing::warn!(uid, "deleted a second Job that was never started");
    }
    get_job(context, load_test).await
}

/// Deletes the Job with that UID, whose time has come. Returns the Job of that name as it is afterwards.
pub async fn remove_job(context: &Context, load_test: &LoadTest, uid: &str) -> Result<Option<Job>, Error> {
    if delete_job(context, load_test, uid).await? {
        tracing::info!(uid, "removed the Job, for its time has come");
    }
    get_job(context, load_test).await
}

/// Deletes the Job with that UID, and its pods; whether it was there.
async fn delete_job(context: &Context, load_test: &LoadTest, uid: &str) -> Result<bool, Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match jobs(context, load_test).delete(load_test.name(), &params).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => Err(Error::api("delete a Job")(error)),
    }
}
