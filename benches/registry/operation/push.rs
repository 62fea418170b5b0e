//! Writes: blobs small and large, images, tags.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::connection::Connection;
use crate::content::{
    CHUNKED_END, Cast, Content, Digest, MANIFEST_TYPE, Mould, config, descriptor, manifest, same,
};
use crate::failure::Failure;
use crate::request::{self, Template};
use crate::target::Common;

/// Bodies up to this length are sent together with their head.
const TOGETHER: usize = 64 << 10;

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `POST`, then the whole blob with the `PUT`.
    Put,
    /// `POST`, a chunked `PATCH`, an empty `PUT`: docker's way.
    Patch,
}

/// Sends blobs to one repository.
#[derive(Clone)]
pub(crate) struct Uploader {
    /// The path of the repository's blobs.
    path: String,
    common: Common,
    post: Vec<u8>,
    out: Vec<u8>,
}

impl Uploader {
    pub(crate) fn new(repository: &str, common: &Common) -> Self {
        let path = format!("/v2/{repository}/blobs/");
        let post = request::head("POST", &format!("{path}uploads/"), common, "Content-Length: 0\r\n");
        Self { path, common: common.clone(), post: post.into(), out: Vec::new() }
    }

    /// A `POST` and a `PUT` with the blob: `start`, then `tail`.
    pub(crate) async fn put(
        &mut self,
        connection: &mut Connection,
        start: &[u8],
        tail: &[u8],
        digest: Digest,
    ) -> Result<(), Failure> {
        connection.exchange(&self.post, 202, &mut |_| ()).await?;
        self.close(connection, digest, start.len() + tail.len());
        if start.len() <= TOGETHER {
            self.out.extend_from_slice(start);
            self.out.extend_from_slice(tail);
            connection.write(&self.out).await?;
        } else {
            connection.write(&self.out).await?;
            connection.write(start).await?;
            connection.write(tail).await?;
        }
        connection.expect(&self.out, 201, &mut |_| ()).await.map(drop)
    }

    /// A `POST`, a `PATCH` with the chunks of `start` and the tail, and a `PUT` without a body.
    pub(crate) async fn patch(
        &mut self,
        connection: &mut Connection,
        start: &[u8],
        cast: &Cast,
    ) -> Result<(), Failure> {
        connection.exchange(&self.post, 202, &mut |_| ()).await?;
        self.line("PATCH", connection.location(), None);
        self.out.extend_from_slice(
            b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        connection.write(&self.out).await?;
        connection.write(start).await?;
        let mut end = [0; crate::content::TAIL + CHUNKED_END.len()];
        end[..cast.tail.len()].copy_from_slice(&cast.tail);
        end[cast.tail.len()..].copy_from_slice(CHUNKED_END);
        connection.write(&end).await?;
        connection.expect(&self.out, 202, &mut |_| ()).await?;
        self.close(connection, cast.digest, 0);
        connection.exchange(&self.out, 201, &mut |_| ()).await.map(drop)
    }

    /// Mounts a blob of another repository.
    pub(crate) async fn mount(
        &self,
        connection: &mut Connection,
        digest: Digest,
        from: &str,
    ) -> Result<(), Failure> {
        let path = format!("{}uploads/?mount={}&from={from}", self.path, digest.text().as_str());
        let request = request::head("POST", &path, &self.common, "Content-Length: 0\r\n");
        connection.exchange(request.as_bytes(), 201, &mut |_| ()).await.map(drop)
    }

    /// Asks for a blob that does not exist, as docker does before it pushes one.
    pub(crate) async fn miss(&mut self, connection: &mut Connection, digest: Digest) -> Result<(), Failure> {
        self.out.clear();
        for part in ["HEAD ", &self.path, digest.text().as_str(), " HTTP/1.1\r\n", &self.common.0, "\r\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        connection.exchange(&self.out, 404, &mut |_| ()).await.map(drop)
    }

    /// Reads a blob and checks its digest.
    pub(crate) async fn verify(&self, connection: &mut Connection, digest: Digest) -> Result<(), Failure> {
        let path = format!("{}{}", self.path, digest.text().as_str());
        let request = request::head("GET", &path, &self.common, "");
        let mut hash = Sha256::new();
        connection.exchange(request.as_bytes(), 200, &mut |piece| hash.update(piece)).await?;
        same(hash, digest, "what was pushed is not what comes back")
    }

    /// The head of the closing `PUT`.
    fn close(&mut self, connection: &Connection, digest: Digest, length: usize) {
        self.line("PUT", connection.location(), Some(digest));
        let mut head = String::new();
        let _ = write!(head, "Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n");
        self.out.extend_from_slice(head.as_bytes());
    }

    fn line(&mut self, method: &str, location: &[u8], digest: Option<Digest>) {
        self.out.clear();
        self.out.extend_from_slice(method.as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(location);
        if let Some(digest) = digest {
            self.out.push(if location.contains(&b'?') { b'&' } else { b'?' });
            self.out.extend_from_slice(b"digest=");
            self.out.extend_from_slice(digest.text().as_str().as_bytes());
        }
        self.out.extend_from_slice(b" HTTP/1.1\r\n");
        self.out.extend_from_slice(self.common.0.as_bytes());
    }
}

/// Pushes new blobs of one length.
pub(crate) struct BlobPush {
    pub(crate) uploader: Uploader,
    pub(crate) content: Arc<Content>,
    pub(crate) mould: Mould,
    pub(crate) form: Form,
    /// Whether this connection reads back what it has pushed.
    pub(crate) checks: bool,
    /// The last blob.
    pub(crate) last: Option<Digest>,
}

impl BlobPush {
    pub(crate) fn is_small(&self) -> bool {
        self.mould.length <= TOGETHER
    }

    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        let cast = self.mould.fresh(&self.content);
        let length = self.mould.length;
        match self.form {
            Form::Put => {
                self.uploader.put(connection, self.content.start(length), &cast.tail, cast.digest).await?;
            }
            Form::Patch => self.uploader.patch(connection, self.content.chunked_start(length), &cast).await?,
        }
        self.last = Some(cast.digest);
        Ok(length as u64)
    }

    pub(crate) async fn verify(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self.last {
            Some(digest) if self.checks => self.uploader.verify(connection, digest).await,
            _ => Ok(()),
        }
    }
}

/// Pushes new images as docker does: layers, config, manifest.
pub(crate) struct ImagePush {
    pub(crate) uploader: Uploader,
    pub(crate) content: Arc<Content>,
    pub(crate) layers: Vec<Mould>,
    /// Puts the manifest by tag.
    pub(crate) manifest: Template,
    /// The first layer of the last image.
    pub(crate) last: Option<Digest>,
}

impl ImagePush {
    /// The request that puts a manifest, without the length of its body.
    pub(crate) fn template(repository: &str, common: &Common) -> Template {
        let path = format!("/v2/{repository}/manifests/{{}}");
        Template::new("PUT", &path, common, &format!("Content-Type: {MANIFEST_TYPE}\r\n"), b"")
    }

    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        let mut descriptors = Vec::with_capacity(self.layers.len());
        let mut moved = 0;
        for (index, mould) in self.layers.iter().enumerate() {
            let cast = mould.fresh(&self.content);
            self.uploader.miss(connection, cast.digest).await?;
            self.uploader.patch(connection, self.content.chunked_start(mould.length), &cast).await?;
            descriptors.push(descriptor(cast.digest, mould.length));
            moved += mould.length;
            if index == 0 {
                self.last = Some(cast.digest);
            }
        }
        let number = self.content.number();
        let config = config(self.content.nonce, number);
        let digest = Digest::of(&config);
        self.uploader.miss(connection, digest).await?;
        self.uploader.put(connection, &config, b"", digest).await?;
        let manifest = manifest(&descriptor(digest, config.len()), &descriptors, "image");
        let head = self.manifest.fill(&format!("i{number}"));
        let head = head.strip_suffix(b"\r\n").unwrap_or(head);
        let length = format!("Content-Length: {}\r\n\r\n", manifest.len());
        let request = [head, length.as_bytes(), &manifest].concat();
        connection.exchange(&request, 201, &mut |_| ()).await?;
        Ok((moved + config.len() + manifest.len()) as u64)
    }

    pub(crate) async fn verify(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self.last {
            Some(digest) => self.uploader.verify(connection, digest).await,
            None => Ok(()),
        }
    }
}

/// Sets new tags on an existing manifest.
pub(crate) struct TagPush {
    put: Template,
    get: Template,
    content: Arc<Content>,
    manifest: Digest,
    tag: String,
}

impl TagPush {
    pub(crate) fn new(repository: &str, common: &Common, content: &Arc<Content>, manifest: &[u8]) -> Self {
        let path = format!("/v2/{repository}/manifests/{{}}");
        let headers = format!("Content-Type: {MANIFEST_TYPE}\r\nContent-Length: {}\r\n", manifest.len());
        Self {
            put: Template::new("PUT", &path, common, &headers, manifest),
            get: Template::new("GET", &path, common, request::ACCEPT, b""),
            content: Arc::clone(content),
            manifest: Digest::of(manifest),
            tag: String::new(),
        }
    }

    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        self.tag.clear();
        let _ = write!(self.tag, "p{:012}", self.content.number());
        connection.exchange(self.put.fill(&self.tag), 201, &mut |_| ()).await?;
        Ok(0)
    }

    pub(crate) async fn verify(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let mut hash = Sha256::new();
        connection.exchange(self.get.fill(&self.tag), 200, &mut |piece| hash.update(piece)).await?;
        same(hash, self.manifest, &self.tag)
    }
}
