use std::path::PathBuf;

use clap::Args;

use super::Moving;
use crate::cli::exit::Failure;
use crate::cli::progress::Bars;
use crate::client::Client;
use crate::registry::config::Period;
use crate::sync::{self, ChangeAhead, Pulled};
use crate::webapi::{ApiUrl, Zuul};
use crate::zuul::{self, Connection, ImageArtifact, Label, Tested};

#[derive(Debug, Args)]
pub(super) struct Pull {
    /// A list of artifacts, {zuul: {artifacts}}, or the builds API's answer (`-` reads stdin)
    #[arg(long, value_name = "ARTIFACTS")]
    artifacts: PathBuf,

    /// The intermediate registry
    #[arg(long, value_name = "CONNECTION")]
    from: PathBuf,

    /// The buildset registry
    #[arg(long, value_name = "CONNECTION")]
    to: PathBuf,

    /// Leave pointers: an image is fetched by the buildset registry when it is read for the first time.
    /// Where the registries cannot do that, it is copied at once, and the result says why
    #[arg(long)]
    lazy: bool,

    #[command(flatten)]
    ahead: Ahead,

    /// zuul.tenant: our intermediate registry refuses the images of another
    #[arg(long, value_name = "NAME")]
    tenant: Option<Label>,

    #[command(flatten)]
    moving: Moving,
}

/// Who knows what the changes ahead pushed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Changes ahead")]
struct Ahead {
    /// Zuul's API for the tenant, e.g. https://zuul.example.org/api/tenant/example: it is asked for what the
    /// newest builds of the changes ahead pushed, in addition to ARTIFACTS
    #[arg(long, value_name = "URL", requires = "zuul")]
    zuul_api: Option<ApiUrl>,

    /// The variable `zuul` (YAML or JSON), of which items, buildset_refs, pipeline, project and change count
    #[arg(long, value_name = "FILE", requires = "zuul_api")]
    zuul: Option<PathBuf>,

    /// Wait for running builds of this job, instead of those whose last successful build pushed images
    #[arg(long, value_name = "NAME", requires = "zuul_api")]
    zuul_job: Vec<String>,

    /// How long builds of the changes ahead that still run are waited for
    #[arg(long, value_name = "TIME", default_value = "5m")]
    wait: Period,
}

impl Pull {
    pub(super) async fn run(self, bars: &Bars) -> Result<Pulled, Failure> {
        let handed = zuul::image_artifacts(&zuul::read_artifacts(&self.artifacts)?)?;
        let connections = [Connection::read(&self.from)?, Connection::read(&self.to)?];
        let [from, to] = &connections;
        let cert = from.certificate();
        let (from, to) = (from.registry()?, to.registry()?);
        let client = self.moving.network.client(&connections)?;
        let (artifacts, ahead) = self.ahead.complete(&client, handed).await?;
        let pull = sync::Pull {
            artifacts: &artifacts,
            from: &from,
            to: &to,
            tenant: self.tenant,
            lazy: self.lazy,
            cert,
        };
        let pulled = sync::pull(&client, &pull, &self.moving.options(), bars).await?;
        Ok(Pulled { ahead, ..pulled })
    }
}

impl Ahead {
    async fn complete(
        &self,
        client: &Client,
        handed: Vec<ImageArtifact>,
    ) -> Result<(Vec<ImageArtifact>, Vec<ChangeAhead>), Failure> {
        let (Some(api), Some(file)) = (&self.zuul_api, &self.zuul) else {
            return Ok((handed, Vec::new()));
        };
        let (zuul, tested) = (Zuul::new(client.http(), api)?, Tested::read(file)?);
        let (jobs, patience) = (&self.zuul_job, self.wait.0);
        let ahead = sync::Ahead { zuul: &zuul, tested: &tested, jobs, patience };
        Ok(ahead.complete(handed).await?)
    }
}
