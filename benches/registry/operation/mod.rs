//! The operations that a connection repeats.

mod fetch;
mod push;

pub(crate) use fetch::{Download, Fetch, Thing};
pub(crate) use push::{BlobPush, Form, ImagePush, TagPush, Uploader};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::random::Random;

/// A kind of operation, with its prepared data.
pub(crate) enum Operation {
    Fetch(Fetch),
    Download(Download),
    BlobPush(BlobPush),
    ImagePush(ImagePush),
    TagPush(TagPush),
    Mixed(Box<Mixed>),
}

/// 70 % manifests, 20 % small blobs, 10 % pushes of small blobs.
pub(crate) struct Mixed {
    pub(crate) manifests: Fetch,
    pub(crate) blobs: Fetch,
    pub(crate) push: BlobPush,
    pub(crate) random: Random,
}

impl Operation {
    /// Runs it once; returns the bytes of payload that were transferred.
    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        match self {
            Self::Fetch(fetch) => fetch.run(connection).await,
            Self::Download(download) => download.run(connection).await,
            Self::BlobPush(push) => push.run(connection).await,
            Self::ImagePush(push) => push.run(connection).await,
            Self::TagPush(push) => push.run(connection).await,
            Self::Mixed(mixed) => match mixed.random.below(10) {
                0 => mixed.push.run(connection).await,
                1 | 2 => mixed.blobs.run(connection).await,
                _ => mixed.manifests.run(connection).await,
            },
        }
    }

    /// Runs the first requests, which are not timed and whose responses are checked completely.
    pub(crate) async fn warm(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self {
            Self::Fetch(fetch) => fetch.run(connection).await.map(drop),
            Self::Download(download) => download.run(connection).await.map(drop),
            Self::TagPush(push) => push.run(connection).await.map(drop),
            Self::BlobPush(push) if push.is_small() => push.run(connection).await.map(drop),
            Self::BlobPush(_) | Self::ImagePush(_) => Ok(()),
            Self::Mixed(mixed) => {
                mixed.push.run(connection).await?;
                mixed.blobs.run(connection).await?;
                mixed.manifests.run(connection).await.map(drop)
            }
        }
    }

    /// Reads back what was pushed last and checks it.
    pub(crate) async fn verify(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self {
            Self::Fetch(_) | Self::Download(_) => Ok(()),
            Self::BlobPush(push) => push.verify(connection).await,
            Self::ImagePush(push) => push.verify(connection).await,
            Self::TagPush(push) => push.verify(connection).await,
            Self::Mixed(mixed) => mixed.push.verify(connection).await,
        }
    }
}
