use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::Error;
use crate::webapi::{Build, BuildFilter, BuildQuery, Zuul};
use crate::zuul::{ImageArtifact, Label, Tested, TestedChange, image_artifacts};

/// How many changes are asked for at once.
const AT_ONCE: usize = 4;

/// How many builds are asked for at once; a buildset with more needs more requests.
const PAGE: usize = 100;
const MAX_PAGES: usize = 20;

/// How long to wait before the same question, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Who knows what the builds of the changes ahead pushed, since Zuul may hand over a part of it or nothing: its
/// own search ends at the own item as long as any job there that provides images has not ended.
#[derive(Debug)]
pub struct Ahead<'a> {
    /// The API of the tenant.
    pub zuul: &'a Zuul,
    /// The changes.
    pub tested: &'a Tested,
    /// The jobs whose images are waited for. Without any, those whose last successful build pushed some.
    pub jobs: &'a [String],
    /// How long builds that still run are waited for.
    pub patience: Duration,
}

/// What is known of one change ahead.
#[derive(Debug, Serialize)]
pub struct ChangeAhead {
    /// Its project.
    pub project: Label,
    /// Its number.
    pub change: Label,
    /// Its patch set.
    pub patchset: Option<Label>,
    /// The successful builds of its newest buildset that returned images, the oldest first.
    pub builds: Vec<String>,
    /// How many images it gave, those included that Zuul handed over.
    pub images: usize,
}

/// What one change gave.
struct Given {
    builds: Vec<String>,
    artifacts: Vec<ImageArtifact>,
}

impl Ahead<'_> {
    /// Adds to the artifacts that Zuul handed over what is missing of the changes ahead. The farthest change
    /// comes first, what is of none of them last; nothing comes twice.
    ///
    /// # Errors
    /// An API that cannot be asked, artifacts that are not those of `zuul-jobs`, and a build that still runs
    /// after all patience.
    pub async fn complete(
        &self,
        mut handed: Vec<ImageArtifact>,
    ) -> Result<(Vec<ImageArtifact>, Vec<ChangeAhead>), Error> {
        let end = Instant::now() + self.patience;
        let given = stream::iter(&self.tested.ahead).map(|it| self.given(it, &handed, end));
        let given: Vec<Given> = given.buffered(AT_ONCE).try_collect().await?;
        let (mut all, mut changes) = (Vec::new(), Vec::new());
        for (change, given) in self.tested.ahead.iter().zip(given) {
            let (own, others) = handed.into_iter().partition(|it| is_of(it, change));
            handed = others;
            let of_change = once(Vec::into_iter(own).chain(given.artifacts));
            let TestedChange { project, change, patchset } = change.clone();
            let (builds, images) = (given.builds, of_change.len());
            changes.push(ChangeAhead { project, change, patchset, builds, images });
            all.extend(of_change);
        }
        Ok((once(all.into_iter().chain(handed)), changes))
    }

    /// What the newest buildset of a change pushed, once no build runs any more that may push.
    async fn given(
        &self,
        change: &TestedChange,
        handed: &[ImageArtifact],
        end: Instant,
    ) -> Result<Given, Error> {
        let mut pushing = HashMap::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let builds = self.newest_buildset(change).await?;
            let Some(running) = self.running(&builds, change, handed, &mut pushing).await? else {
                return given(builds, change);
            };
            let now = Instant::now();
            if now >= end {
                return Err(Error::StillRuns {
                    build: running.uuid.clone().unwrap_or_default(),
                    job: running.job_name.clone().unwrap_or_default(),
                    change: change.to_string(),
                    waited: self.patience.as_secs(),
                });
            }
            tracing::info!(%change, job = running.job_name, "waiting for images");
            sleep_until(end.min(now + pause)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// The builds of the newest buildset, newest first.
    async fn newest_buildset(&self, change: &TestedChange) -> Result<Vec<Build>, Error> {
        let mut query = BuildQuery::new()
            .by(BuildFilter::Project, change.project.as_str())
            .by(BuildFilter::Pipeline, self.tested.pipeline.as_str())
            .by(BuildFilter::Change, change.change.as_str());
        if let Some(patchset) = &change.patchset {
            query = query.by(BuildFilter::Patchset, patchset.as_str());
        }
        let query = query.limit(PAGE);
        let mut found: Vec<Build> = Vec::new();
        for page in 0..MAX_PAGES {
            let asked = query.clone();
            let asked = if page == 0 { asked } else { asked.skip(page * PAGE) };
            let builds = self.zuul.builds(&asked).await?;
            let last_page = builds.len() < PAGE;
            let before = found.len();
            let (count, of_change) =
                (builds.len(), builds.into_iter().filter(|it| self.is_for(it, change)));
            for build in of_change {
                if found.first().is_none_or(|newest| newest.buildset == build.buildset) {
                    found.push(build);
                }
            }
            if last_page || found.len() < before + count {
                break;
            }
        }
        Ok(found)
    }

    /// Whether Zuul answers what it was asked: a name may be a pattern.
    fn is_for(&self, build: &Build, change: &TestedChange) -> bool {
        let is = |said: &Option<String>, wanted: &Label| said.as_deref() == Some(wanted.as_str());
        let item = &build.reference;
        let patchset = change.patchset.as_ref();
        is(&build.pipeline, &self.tested.pipeline)
            && is(&item.project, &change.project)
            && is(&item.change, &change.change)
            && patchset.is_none_or(|patchset| is(&item.patchset, patchset))
    }

    /// A build that has not ended and may push images that Zuul did not hand over.
    async fn running<'b>(
        &self,
        builds: &'b [Build],
        change: &TestedChange,
        handed: &[ImageArtifact],
        pushing: &mut HashMap<String, bool>,
    ) -> Result<Option<&'b Build>, Error> {
        for build in builds.iter().filter(|build| build.result.is_none()) {
            let Some(job) = build.job_name.as_deref() else { continue };
            // Zuul hands over what paused builds returned; its API does so when they have ended.
            let known = handed.iter().any(|it| {
                is_of(it, change) && it.job.as_ref().is_some_and(|of| of.as_str() == job)
            });
            if !known && self.pushes(job, change, pushing).await? {
                return Ok(Some(build));
            }
        }
        Ok(None)
    }

    /// Whether builds of a job push images. Zuul tells what a job provides when it has ended, so it is told by
    /// its last successful build.
    async fn pushes(
        &self,
        job: &str,
        change: &TestedChange,
        known: &mut HashMap<String, bool>,
    ) -> Result<bool, Error> {
        if !self.jobs.is_empty() {
            return Ok(self.jobs.iter().any(|name| name == job));
        }
        if let Some(pushes) = known.get(job) {
            return Ok(*pushes);
        }
        let query = BuildQuery::new()
            .by(BuildFilter::Project, change.project.as_str())
            .by(BuildFilter::JobName, job)
            .by(BuildFilter::Result, "SUCCESS")
            .limit(1);
        let builds = self.zuul.builds(&query).await?;
        let returned = |it: &Build| image_artifacts(&it.artifacts).is_ok_and(|it| !it.is_empty());
        let pushes = builds.iter().any(returned);
        known.insert(job.to_owned(), pushes);
        Ok(pushes)
    }
}

fn given(builds: Vec<Build>, change: &TestedChange) -> Result<Given, Error> {
    let mut given = Given { builds: Vec::new(), artifacts: Vec::new() };
    for build in builds.into_iter().rev().filter(Build::succeeded) {
        let mut artifacts = image_artifacts(&build.artifacts)?;
        for artifact in &mut artifacts {
            artifact.project = Some(change.project.clone());
            artifact.change = Some(change.change.clone());
        }
        if !artifacts.is_empty() {
            given.builds.extend(build.uuid);
            given.artifacts.append(&mut artifacts);
        }
    }
    Ok(given)
}

fn is_of(artifact: &ImageArtifact, change: &TestedChange) -> bool {
    artifact.project.as_ref() == Some(&change.project)
        && artifact.change.as_ref() == Some(&change.change)
}

/// The first of each url.
fn once(artifacts: impl Iterator<Item = ImageArtifact>) -> Vec<ImageArtifact> {
    let mut seen = std::collections::HashSet::new();
    artifacts.filter(|artifact| seen.insert(artifact.url.clone())).collect()
}
