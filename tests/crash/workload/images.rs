//! Images, indexes and referrers that are pushed, also again after they were deleted.

use serde_json::json;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};

use super::{Client, SHARED};
use crate::held::References;
use crate::ledger::{Key, Manifest, Recipe};
use crate::support::content::{image, index, referrer, sha256};

impl Client<'_> {
    /// The config of every image here.
    pub(super) fn push_config(&self, repository: &str) -> Option<()> {
        let digest = sha256(b"{}");
        let path = format!("/v2/{repository}/blobs/{digest}");
        if self.request(("HEAD", &path), &[], b"", &[200, 404])?.status == 404 {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            self.request(("POST", &path), &[], b"{}", &[201])?;
        }
        Some(())
    }

    /// An image with a new layer, and perhaps one that exists already.
    pub(super) fn image(&mut self, repository: &str) -> Option<Manifest> {
        self.push_config(repository)?;
        let recipe = self.roll(60_000);
        let mut layers = vec![self.push_blob(repository, recipe)?];
        let known = self.ledger().blobs_in(repository);
        if let Some(digest) = self.pick(&known)
            && self.dice.below(2) == 0
        {
            // Content that HEAD finds is not pushed again.
            self.request(("HEAD", &format!("/v2/{repository}/blobs/{digest}")), &[], b"", &[200])?;
            let recipe = self.ledger().blobs.get(&digest).copied();
            layers.extend(recipe.map(Recipe::content));
        }
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        Some(Manifest::free(image(&layers), OCI_MANIFEST))
    }

    pub(super) fn push_image(&mut self) -> Option<()> {
        let repository = if self.dice.below(4) == 0 { SHARED.to_owned() } else { self.repository.clone() };
        let image = self.image(&repository)?;
        let tag = self.tag();
        self.put_manifest(&repository, image, Some(tag)).map(drop)
    }

    pub(super) fn push_index(&mut self) -> Option<()> {
        let repository = self.repository.clone();
        let mut children = Vec::new();
        for _ in 0..2 {
            let child = Manifest { free: false, ..self.image(&repository)? };
            children.push(child.content.clone());
            self.put_manifest(&repository, child, None)?;
        }
        let children: Vec<&[u8]> = children.iter().map(Vec::as_slice).collect();
        let index = Manifest::free(index(&children), OCI_INDEX);
        let tag = self.tag();
        self.put_manifest(&repository, index, Some(tag)).map(drop)
    }

    /// A referrer of a manifest that exists, or of one that never will.
    pub(super) fn push_referrer(&mut self) -> Option<()> {
        let repository = self.repository.clone();
        self.push_config(&repository)?;
        let known = self.ledger().manifests_in(&repository);
        let subject = match self.pick(&known).filter(|_| self.dice.below(8) > 0) {
            Some(digest) => self.ledger().manifests[&digest].content.clone(),
            None => self.roll(100).content(),
        };
        let note = json!({ "number": self.dice.below(u64::MAX).to_string() });
        let content = referrer(&subject, "application/vnd.test.signature", &note);
        self.put_manifest(&repository, Manifest::about(&subject, content), None).map(drop)
    }

    /// Pushes something again that was deleted, or that garbage collection may be taking away.
    pub(super) fn push_again(&mut self) -> Option<()> {
        let repository = if self.dice.below(2) == 0 { self.loose.clone() } else { self.repository.clone() };
        let gone = self.ledger().uncertain_in(&repository);
        let (blob, manifest) = match self.pick(&gone) {
            Some(Key::Blob(digest)) => (self.ledger().blobs.get(&digest).copied(), None),
            Some(Key::Manifest(digest)) => (None, self.ledger().manifests.get(&digest).cloned()),
            _ => (None, None),
        };
        match (blob, manifest) {
            (Some(recipe), _) => self.push_blob(&repository, recipe).map(drop),
            (_, Some(manifest)) => self.push_image_again(&repository, manifest),
            // What was refused is not pushed again.
            _ => self.push_image(),
        }
    }

    fn push_image_again(&mut self, repository: &str, manifest: Manifest) -> Option<()> {
        let References { blobs, children } = manifest.references.clone();
        if !children.is_empty() || manifest.subject.is_some() {
            return self.push_image();
        }
        self.push_config(repository)?;
        let layers: Vec<Recipe> = {
            let ledger = self.ledger();
            blobs.iter().filter_map(|blob| ledger.blobs.get(blob).copied()).collect()
        };
        for layer in layers {
            self.push_blob(repository, layer)?;
        }
        let tag = self.tag();
        self.put_manifest(repository, manifest, Some(tag)).map(drop)
    }
}
