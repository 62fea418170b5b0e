//! The platform of an image, for lists that people read. Nothing is refused here: a config that cannot be
//! parsed has no platform.

use serde::Deserialize;

use crate::model::manifest::Manifest;
use crate::model::media_type::{DOCKER_CONFIG, ManifestKind, OCI_CONFIG};

/// The largest config that is read, in bytes.
pub(super) const MAX_CONFIG: u64 = 256 << 10;
/// The most platforms of an index that are listed.
const MAX_PLATFORMS: usize = 8;
/// The most characters of a part of a platform.
const MAX_PART: usize = 32;

/// A platform, as configs and indexes describe it.
#[derive(Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Platform {
    /// `linux/arm/v7`; nothing for content that is not an image, such as an attestation (`unknown/unknown`).
    fn text(self) -> Option<String> {
        let good = |part: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && part != "unknown" && part.len() <= MAX_PART && part.bytes().all(plain)
        };
        let (os, architecture) = (self.os.filter(good)?, self.architecture.filter(good)?);
        Some(match self.variant.filter(good) {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        })
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    platform: Option<Platform>,
}

/// Whether the platform is in the config of an image.
pub(super) fn is_in_config(manifest: &Manifest) -> bool {
    let config = manifest.config.as_ref();
    manifest.kind == ManifestKind::Image
        && config.is_some_and(|config| {
            [OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) && config.size <= MAX_CONFIG
        })
}

/// The platform in the config of an image.
pub(super) fn of_config(config: &[u8]) -> String {
    serde_json::from_slice::<Platform>(config).ok().and_then(Platform::text).unwrap_or_default()
}

/// The platforms in an index, each once, in its order.
pub(super) fn of_index(body: &[u8]) -> String {
    let Ok(index) = serde_json::from_slice::<Index>(body) else { return String::new() };
    let mut platforms: Vec<String> = Vec::new();
    let mut more = 0;
    for platform in index.manifests.into_iter().filter_map(|entry| entry.platform?.text()) {
        if platforms.contains(&platform) {
            continue;
        }
        if platforms.len() < MAX_PLATFORMS {
            platforms.push(platform);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        platforms.push(format!("{more} more"));
    }
    platforms.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_tells_the_platform_or_nothing() {
        for (config, platform) in [
            (json!({"os": "linux", "architecture": "amd64"}), "linux/amd64"),
            (json!({"os": "linux", "architecture": "arm", "variant": "v7"}), "linux/arm/v7"),
            (json!({"os": "unknown", "architecture": "unknown"}), ""),
            (json!({"os": "linux"}), ""),
            (json!({"os": "\u{1b}[1m", "architecture": "amd64"}), ""),
            (json!({"os": 7, "architecture": "amd64"}), ""),
            (json!([]), ""),
        ] {
            assert_eq!(of_config(config.to_string().as_bytes()), platform);
        }
    }

    #[test]
    fn an_index_tells_some_platforms_each_once() {
        let entry =
            |os: &str, architecture: &str| json!({"platform": {"os": os, "architecture": architecture}});
        let index = json!({"manifests": [entry("linux", "amd64"), entry("unknown", "unknown"), {}, entry("linux", "amd64"), entry("linux", "arm64")]});
        assert_eq!(of_index(index.to_string().as_bytes()), "linux/amd64,linux/arm64");
        let many: Vec<_> = (0..20).map(|number| entry("linux", &format!("a{number}"))).collect();
        let text = of_index(json!({"manifests": many}).to_string().as_bytes());
        assert!(text.starts_with("linux/a0,") && text.ends_with(",12 more"), "{text}");
        assert_eq!(of_index(b"{\"manifests\":null}"), "");
    }
}
