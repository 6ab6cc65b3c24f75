use http::Response;
use http::header;
use serde::Serialize;

use crate::auth::Action;
use crate::oci::{RepositoryName, Tag};
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;
use crate::storage::{Page, Paging};

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a RepositoryName,
    tags: &'a [Tag],
}

impl Registry {
    /// `GET /v2/<name>/tags/list` (distribution-spec, "Listing Tags").
    pub(in crate::registry) async fn tags(
        &self,
        call: &Call,
        repository: Repository,
    ) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand(call, &repository, Action::Pull)?;
        let reader = self.reader(call, &repository);
        let page = self.layers.tags(reader, &repository.key, paging(call)?).await;
        let page = self.answered(call, &repository, page)?;
        let mut response = respond::json(&TagList { name: &repository.asked, tags: &page.entries });
        link(call, &mut response, &page, |query| {
            repository.location(&format!("tags/list?{query}"))
        });
        Ok(response)
    }
}

/// The part of a list that `n` and `last` ask for.
pub(super) fn paging(call: &Call) -> Result<Paging, Error> {
    let limit = call.parameter("n").map(|text| {
        text.parse().map_err(|_| Error::Parameter { name: "n", expected: "a number of entries" })
    });
    Ok(Paging { after: call.parameter("last").map(str::to_owned), limit: limit.transpose()? })
}

/// Says where the list goes on. A page of no entries goes nowhere.
pub(in crate::registry) fn link<T: AsRef<str>>(
    call: &Call,
    response: &mut Response<Body>,
    page: &Page<T>,
    location: impl Fn(&str) -> String,
) {
    let (true, Some(last)) = (page.more, page.entries.last()) else { return };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("n", call.parameter("n").unwrap_or_default());
    query.append_pair("last", last.as_ref());
    let location = location(&query.finish());
    respond::set(response, header::LINK, format!("<{location}>; rel=\"next\""));
}
