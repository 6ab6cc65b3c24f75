use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Rules;
use crate::cli::args::{Item, Network};
use crate::cli::exit::Failure;
use crate::cli::progress::Bars;
use crate::client::Client;
use crate::promote::{self, Built, KnownImage, List, Options, Promoted, Promotion};
use crate::webapi::{ApiUrl, Zuul};
use crate::zuul::{self, Connection, ImageList, Label, Origin, UploadArtifact};

#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    #[command(flatten)]
    item: Item,

    /// The artifacts the upload returned: each image must still be the digest it recorded
    #[arg(long, value_name = "ARTIFACTS")]
    uploads: Option<PathBuf>,

    /// Leave the temporary tags in place
    #[arg(long)]
    keep_temporary_tags: bool,

    /// Allow to replace the image of a change of the same branch that merged later
    #[arg(long)]
    move_back: bool,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    network: Network,
}

/// Where the images are, and who knows it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sources")]
struct Source {
    /// Where the images wait: `tag` under temporary tags of their own repositories, `intermediate-registry`
    /// where a build pushed them
    #[arg(long, value_enum, default_value = "tag")]
    method: Method,

    /// Zuul's API for the tenant: tells what the build uploaded or pushed, and what changes that merged
    /// later did
    #[arg(long, value_name = "URL", requires = "zuul_query")]
    zuul_api: Option<ApiUrl>,

    /// Which build: change=N&patchset=P&pipeline=NAME&job_name=NAME; the newest successful one counts
    #[arg(long, value_name = "QUERY", requires = "zuul_api")]
    zuul_query: Option<String>,

    /// The intermediate registry
    #[arg(long, value_name = "CONNECTION", requires = "zuul_api")]
    #[arg(required_if_eq("method", "intermediate-registry"))]
    intermediate: Option<PathBuf>,

    /// zuul.tenant: our intermediate registry refuses the images of another
    #[arg(long, value_name = "NAME", requires = "intermediate")]
    tenant: Option<Label>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Tag,
    IntermediateRegistry,
}

impl Promote {
    pub(super) async fn run(self, bars: &Bars) -> Result<Promoted, Failure> {
        let images = ImageList::read(&self.images)?;
        let credentials = self.network.registry_credentials()?;
        let intermediate = self.source.intermediate.as_deref().map(Connection::read).transpose()?;
        let client = self.network.client(intermediate.as_slice())?;
        let built = self.built(&client).await?;
        let mut known = built.as_ref().map(Built::known).unwrap_or_default();
        let list = List { images: &images, credentials: credentials.as_ref() };
        let promotions = match (self.source.method, &intermediate, &built) {
            (Method::IntermediateRegistry, Some(intermediate), Some(built)) => {
                list.pushed(&built.pushed()?, &intermediate.registry()?)?
            }
            (Method::IntermediateRegistry, ..) => {
                return Err(Failure::input("give --zuul-api, --zuul-query and --intermediate"));
            }
            (Method::Tag, ..) => self.waiting(&list, built.as_ref(), &mut known)?,
        };
        let tenant = self.source.tenant.clone();
        let options = Options {
            keep_temporary_tags: self.keep_temporary_tags,
            move_back: self.move_back,
            known: &known,
            reader: tenant.map(|tenant| Origin { tenant: Some(tenant), ..Origin::default() }),
            progress: bars,
            ..self.rules.options(&self.network, credentials.as_ref())?
        };
        Ok(promote::promote(&client, &promotions, &options).await?)
    }

    async fn built(&self, client: &Client) -> Result<Option<Built>, Failure> {
        let Source { zuul_api: Some(api), zuul_query: Some(query), .. } = &self.source else {
            return Ok(None);
        };
        let zuul = Zuul::new(client.http(), api)?;
        Ok(Some(Built::ask(&zuul, query, !self.move_back).await?))
    }

    /// What the file says of uploads counts before what Zuul says.
    fn waiting(
        &self,
        list: &List<'_>,
        built: Option<&Built>,
        known: &mut Vec<KnownImage>,
    ) -> Result<Vec<Promotion>, Failure> {
        let mut uploads = built.map(Built::uploads).transpose()?;
        if let Some(file) = &self.uploads {
            let more = UploadArtifact::all(&zuul::read_artifacts(file)?)?;
            known.extend(more.iter().map(KnownImage::from));
            uploads.get_or_insert_default().extend(more);
        }
        Ok(list.waiting(&self.item.prefix()?, uploads.as_deref())?)
    }
}
