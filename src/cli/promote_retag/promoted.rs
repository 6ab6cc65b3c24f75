use crate::cli::output::{Report, bytes, table};
use crate::oci::Digest;
use crate::promote::{Cleanup, Promoted, Removed};

impl Report for Promoted {
    fn text(&self) -> String {
        let rows: Vec<[String; 4]> = self
            .promoted
            .iter()
            .map(|tag| {
                let previous = tag.previous.as_ref().map_or("nothing", Digest::short);
                let state = match (tag.changed, self.dry_run) {
                    (false, _) => "already there".to_owned(),
                    (true, false) => format!("was {previous}"),
                    (true, true) => format!("would replace {previous}"),
                };
                let name = format!("{}:{}", tag.repository, tag.tag);
                [name, tag.temporary_tag.clone(), tag.digest.short().to_owned(), state]
            })
            .collect();
        let mut text = table(["TAG", "FROM", "DIGEST", "BEFORE"], &rows);
        for cleanup in self.cleanup.iter().filter(|cleanup| cleanup.result != Removed::Done) {
            let Cleanup { repository, tag, result } = cleanup;
            let why = match result {
                Removed::Done => continue,
                Removed::Absent => "is gone already, or newer".to_owned(),
                Removed::Unsupported => "stays: the registry deletes no tags".to_owned(),
                Removed::Failed(error) => format!("stays: {error}"),
            };
            text.push_str(&format!("temporary tag {repository}:{tag} {why}\n"));
        }
        if let Some(carried) = &self.carried {
            text.push_str(&format!(
                "{} blobs moved ({}), {} mounted, {} already there\n",
                carried.blobs_moved,
                bytes(carried.bytes_moved),
                carried.blobs_mounted,
                carried.blobs_present
            ));
        }
        let totals = &self.totals;
        text.push_str(&format!(
            "{} manifests written, {} requests, {:.2} s\n",
            totals.manifests_written, totals.requests, totals.seconds
        ));
        text
    }
}
