//! Where the script and its files lie in a worker: volumes, their mounts, and the container that copies.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, SecretProjection,
    Volume, VolumeMount, VolumeProjection,
};

use super::confined;
use crate::api::FileSource;
use crate::plan::{Files, Plan, Source};
use crate::reporter::Reporter;
use crate::template::{COPY, SCRIPT_VOLUME};

/// Where the script and its files lie in a worker.
pub const DATA: &str = "/data";
/// Where that volume is mounted when its files are copied, and the volume that they are copied to.
const SOURCE: &str = "/source";
const FILES_VOLUME: &str = "files";
/// Copies the files to where a worker may write, without the links by which Kubernetes changes them at once: any image with
/// Artillery has Node.
const COPY_FILES: &str = "const fs = require('node:fs'); const { basename } = require('node:path'); \
    fs.cpSync('/source', '/data', { recursive: true, dereference: true, filter: (file) => !basename(file).startsWith('..') });";

pub(super) fn volumes(plan: &Plan) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let mut volumes = Vec::new();
    if let Files::Mounted { sources, are_copied, .. } = &plan.files {
        volumes.push(Volume {
            name: SCRIPT_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(sources.iter().map(projection).collect()),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        });
        volumes.extend(are_copied.then(|| empty(FILES_VOLUME)));
    }
    volumes.push(empty("tmp"));
    volumes.extend(plan.reporter.as_ref().map(Reporter::volume));
    volumes
}

/// The files of one source; those of all sources lie in one volume, so that the script's relative paths resolve.
fn projection(source: &Source) -> VolumeProjection {
    let Source { source, name, items } = source;
    let items =
        items.iter().map(|(key, path)| KeyToPath { key: key.clone(), path: path.clone(), mode: None });
    let items = Some(items.collect::<Vec<_>>()).filter(|items| !items.is_empty());
    match source {
        FileSource::ConfigMap => VolumeProjection {
            config_map: Some(ConfigMapProjection { name: name.clone(), items, optional: None }),
            ..VolumeProjection::default()
        },
        FileSource::Secret => VolumeProjection {
            secret: Some(SecretProjection { name: name.clone(), items, optional: None }),
            ..VolumeProjection::default()
        },
    }
}

pub(super) fn volume_mounts(plan: &Plan) -> Vec<VolumeMount> {
    let mut mounts = match &plan.files {
        Files::Mounted { are_copied: true, .. } => vec![mount(FILES_VOLUME, DATA, false)],
        Files::Mounted { are_copied: false, .. } => vec![mount(SCRIPT_VOLUME, DATA, true)],
        Files::InImage(_) => Vec::new(),
    };
    mounts.push(mount("tmp", "/tmp", false));
    if let Some((volume, path)) = plan.reporter.as_ref().map(Reporter::mount_path) {
        mounts.push(mount(volume, path, true));
    }
    mounts
}

/// The container that copies the files, before the worker and as large as it.
pub(super) fn copy(worker: &Container) -> Container {
    Container {
        name: COPY.to_owned(),
        image: worker.image.clone(),
        image_pull_policy: worker.image_pull_policy.clone(),
        command: Some(["node", "-e", COPY_FILES].map(str::to_owned).into()),
        security_context: Some(confined()),
        termination_message_policy: worker.termination_message_policy.clone(),
        resources: worker.resources.clone(),
        volume_mounts: Some(vec![mount(SCRIPT_VOLUME, SOURCE, true), mount(FILES_VOLUME, DATA, false)]),
        ..Container::default()
    }
}

impl Files {
    /// The path of the script in a worker.
    pub(super) fn script(&self) -> String {
        match self {
            Self::Mounted { script, .. } => format!("{DATA}/{script}"),
            Self::InImage(path) => path.clone(),
        }
    }

    /// The folder of the script in a worker.
    pub(super) fn folder(&self) -> &str {
        match self {
            Self::Mounted { .. } => DATA,
            Self::InImage(path) => path.rsplit_once('/').map_or("", |(folder, _)| folder),
        }
    }

    pub(super) fn are_copied(&self) -> bool {
        matches!(self, Self::Mounted { are_copied: true, .. })
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}
