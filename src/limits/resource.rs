//! The resources that are counted.

/// Something that requests make the server hold. [`Limits`](super::Limits) names the setting of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Upload sessions that are open.
    UploadSessions,
    /// Bytes of uploads that are not yet a blob.
    StagedBytes,
    /// Request bodies that are received, or wait for their turn.
    Bodies,
    /// Request bodies that arrive fast at this moment, and so hold buffers and a thread.
    BodyPlaces,
    /// Lists that are read from the database.
    Scans,
    /// Bytes of manifests that are collected in memory.
    ManifestBytes,
    /// Connections without a successful sign-in.
    Connections,
    /// Connections whose last request signed in.
    UserConnections,
    /// Connections from trusted proxies that have not sent a request yet.
    SilentConnections,
    /// TLS handshakes whose cryptography is being computed.
    Handshakes,
    /// TLS handshakes whose first message is longer than one record and is still arriving.
    LongHellos,
    /// Bytes of forms, JSON documents and small manifests that are collected in memory.
    SmallBodyBytes,
    /// Responses that follow a job and send what happens to it.
    EventStreams,
}

impl Resource {
    /// All of them, in the order of their indexes.
    pub const ALL: [Self; COUNT] = [
        Self::UploadSessions,
        Self::StagedBytes,
        Self::Bodies,
        Self::BodyPlaces,
        Self::Scans,
        Self::ManifestBytes,
        Self::Connections,
        Self::UserConnections,
        Self::SilentConnections,
        Self::Handshakes,
        Self::LongHellos,
        Self::SmallBodyBytes,
        Self::EventStreams,
    ];

    /// Its plural in a sentence: "too many ...".
    pub const fn words(self) -> &'static str {
        match self {
            Self::UploadSessions => "upload sessions are open",
            Self::StagedBytes => "bytes of unfinished uploads are stored",
            Self::Bodies | Self::BodyPlaces => "request bodies are sent at once",
            Self::Scans => "lists are read at once",
            Self::ManifestBytes => "large manifests are sent at once",
            Self::Connections => "connections are open without a sign-in",
            Self::UserConnections => "connections are open",
            Self::SilentConnections => "connections from trusted proxies are open without a request",
            Self::Handshakes => "TLS handshakes are in progress",
            Self::LongHellos => "TLS handshakes with a long first message are in progress",
            Self::SmallBodyBytes => "bytes of small request bodies are received at once",
            Self::EventStreams => "streams of events are open",
        }
    }

    /// The reason phrase of a refusal's status line: docker prints nothing else of a 5xx.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UploadSessions => "too many upload sessions are open: finish or cancel some of them",
            Self::StagedBytes => "too many bytes of unfinished uploads: finish or cancel some of them",
            Self::Bodies | Self::BodyPlaces => "too many uploads at once: try again in a few seconds",
            Self::Scans => "too many lists are read at once: try again in a few seconds",
            Self::ManifestBytes => "too many large manifests at once: try again in a few seconds",
            Self::Connections => "too many connections without a sign-in: try again in a few seconds",
            Self::UserConnections => "too many connections of this user: close some of them",
            Self::SilentConnections => "too many connections without a request: try again in a few seconds",
            Self::Handshakes | Self::LongHellos => {
                "too many TLS handshakes at once: try again in a few seconds"
            }
            Self::SmallBodyBytes => "too many request bodies at once: try again in a few seconds",
            Self::EventStreams => "too many streams of events: close some of them",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// How many resources there are.
pub(super) const COUNT: usize = 13;
