//! The media types that the registry knows by name (OCI image-spec, "Media Types"). Others are stored and
//! served unchanged.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A docker image manifest, schema 1: refused.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// A signed docker image manifest, schema 1: refused.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// The artifact manifest of the release candidates of OCI 1.1: refused.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// The configuration of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The configuration of a docker image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The configuration of a docker plugin.
pub const DOCKER_PLUGIN_CONFIG: &str = "application/vnd.docker.plugin.v1+json";
/// The configuration of a helm chart.
pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// The two bytes `{}`, for artifacts without a configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The description of a `BuildKit` cache.
pub const BUILDKIT_CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer, compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A docker layer, uncompressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A docker layer, compressed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A docker layer, compressed with zstd: in no specification, but seen.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// A layer that must not be distributed, uncompressed.
pub const OCI_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// A layer that must not be distributed, compressed with gzip.
pub const OCI_NONDISTRIBUTABLE_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
/// A layer that must not be distributed, compressed with zstd.
pub const OCI_NONDISTRIBUTABLE_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
/// A docker layer that must not be distributed.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// A helm chart.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The provenance file of a helm chart.
pub const HELM_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// A helm chart of helm's experimental days.
pub const HELM_CHART_LEGACY: &str = "application/tar+gzip";
/// A cosign signature, stored under the tag `sha256-<hex>.sig`.
pub const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The artifact type of a cosign signature that is a referrer.
pub const COSIGN_SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// A sigstore bundle, as cosign 3 writes it.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// An in-toto statement, as `BuildKit` attests.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The artifact type of `BuildKit`'s attestation manifests.
pub const DOCKER_ATTESTATION: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// Bytes without a type: blobs are served as this.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// JSON without a type.
pub const JSON: &str = "application/json";
/// Text, as some clients label manifests.
pub const PLAIN_TEXT: &str = "text/plain";
/// Webhook bodies in the format of CNCF Distribution ("Notifications").
pub const EVENTS: &str = "application/vnd.docker.distribution.events.v2+json";

/// The four manifest types that are accepted.
pub const MANIFESTS: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// What a manifest describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// One image or artifact: a config and layers.
    Image,
    /// A list of manifests.
    Index,
}

/// The kind of manifest that a media type stands for; `None` if it is none of [`MANIFESTS`].
pub fn manifest_kind(media_type: &str) -> Option<ManifestKind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(ManifestKind::Image),
        OCI_INDEX | DOCKER_LIST => Some(ManifestKind::Index),
        _ => None,
    }
}

/// Whether the type is docker's rather than OCI's.
pub fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.")
}

/// Whether the blob of a layer of this type may be absent from the registry.
pub fn is_nondistributable(media_type: &str) -> bool {
    matches!(
        media_type,
        OCI_NONDISTRIBUTABLE | OCI_NONDISTRIBUTABLE_GZIP | OCI_NONDISTRIBUTABLE_ZSTD | DOCKER_FOREIGN_LAYER
    )
}

/// Whether the type is docker's schema 1, which is refused.
pub fn is_schema1(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED)
}

/// Whether a `Content-Type` is too general to say what a manifest is, such as `application/json`.
pub fn is_generic(media_type: &str) -> bool {
    [JSON, OCTET_STREAM, PLAIN_TEXT].iter().any(|generic| media_type.eq_ignore_ascii_case(generic))
}

/// The media type of a `Content-Type` value, without its parameters.
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_no_part_of_the_media_type() {
        assert_eq!(essence("application/json; charset=utf-8"), JSON);
        assert_eq!(essence("  application/json;a=1;b=2"), JSON);
        assert_eq!(essence(OCI_INDEX), OCI_INDEX);
        assert_eq!(essence(""), "");
        assert_eq!(essence("; charset=utf-8"), "");
    }

    #[test]
    fn every_accepted_manifest_type_has_a_kind_and_no_other_has() {
        assert!(MANIFESTS.iter().all(|accepted| manifest_kind(accepted).is_some()));
        for other in
            [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, OCI_ARTIFACT, OCI_CONFIG, JSON, "", "APPLICATION/JSON"]
        {
            assert_eq!(manifest_kind(other), None, "{other}");
        }
        assert!(is_schema1(DOCKER_SCHEMA1_SIGNED) && !is_schema1(OCI_MANIFEST));
        assert!(is_docker(DOCKER_LIST) && !is_docker(OCI_INDEX));
        assert!(is_nondistributable(DOCKER_FOREIGN_LAYER) && !is_nondistributable(OCI_LAYER_GZIP));
        assert!(is_generic("Application/JSON") && !is_generic(OCI_INDEX));
    }
}
