use super::{Error, FinalTag, Promotion};
use crate::oci::Registry;
use crate::zuul::{ImageArtifact, ImageList, RegistryCredentials, TemporaryPrefix, UploadArtifact};

/// The images of a job, and which logins may be used for them.
#[derive(Debug)]
pub struct List<'a> {
    /// The images.
    pub images: &'a ImageList,
    /// Rules on which login may be used for which repository; none are checked where absent.
    pub credentials: Option<&'a RegistryCredentials>,
}

impl List<'_> {
    /// What waits under temporary tags. With `uploads` each image must be the one uploaded.
    ///
    /// # Errors
    /// Logins that may not be used, temporary tags that cannot be, and images that were not uploaded.
    pub fn waiting(
        &self,
        prefix: &TemporaryPrefix,
        uploads: Option<&[UploadArtifact]>,
    ) -> Result<Vec<Promotion>, Error> {
        self.check()?;
        let waiting = self.images.waiting(prefix)?;
        let mut unknown = Vec::new();
        let mut promotions = Vec::new();
        for ((image, tag), from) in self.images.tags().zip(waiting) {
            // Several uploads may be of one image; of one change the newest stands last.
            let uploaded = uploads.iter().copied().flatten().rev().map(|upload| &upload.metadata);
            let uploaded = uploaded.clone().find(|upload| {
                upload.repository == image.repository
                    && upload.tag == *tag
                    && from.tag.as_ref() == Some(&upload.temporary_tag)
            });
            if uploads.is_some() && uploaded.is_none() {
                unknown.push(format!("{}:{tag}: no upload of it is recorded", image.repository));
            }
            promotions.push(Promotion {
                repository: image.repository.clone(),
                to: FinalTag::beside(&from, tag.clone()),
                from,
                expected: uploaded.map(|upload| upload.digest.clone()),
                current: None,
            });
        }
        refuse_for(unknown)?;
        Ok(promotions)
    }

    /// What a build pushed to the intermediate registry.
    ///
    /// # Errors
    /// Logins that may not be used, images that were not pushed, and artifacts that point elsewhere.
    pub fn pushed(
        &self,
        artifacts: &[ImageArtifact],
        intermediate: &Registry,
    ) -> Result<Vec<Promotion>, Error> {
        self.check()?;
        let mut reasons = Vec::new();
        let mut promotions = Vec::new();
        for (image, tag) in self.images.tags() {
            let pushed = artifacts.iter().rev().find(|artifact| {
                artifact.metadata.repository == image.repository && artifact.metadata.tag == *tag
            });
            let item = format!("{}:{tag}", image.repository);
            let Some(artifact) = pushed else {
                reasons.push(format!("{item}: the build returned no such image"));
                continue;
            };
            match artifact.source(intermediate) {
                Err(error) => reasons.push(format!("{item}: {error}")),
                Ok((from, _)) => promotions.push(Promotion {
                    repository: image.repository.clone(),
                    from,
                    to: FinalTag::beside(&image.reference(tag.clone())?, tag.clone()),
                    expected: artifact.metadata.digest.clone(),
                    current: None,
                }),
            }
        }
        refuse_for(reasons)?;
        Ok(promotions)
    }

    fn check(&self) -> Result<(), Error> {
        let Some(credentials) = self.credentials else { return Ok(()) };
        self.images.iter().try_for_each(|image| Ok(credentials.allow(image)?))
    }
}

fn refuse_for(reasons: Vec<String>) -> Result<(), Error> {
    if reasons.is_empty() { Ok(()) } else { Err(Error::Refused(reasons)) }
}
