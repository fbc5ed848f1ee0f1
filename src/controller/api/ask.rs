//! What is asked of the API server.

use http::Method;

const JSON: &str = "application/json";
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// What is asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    LookSecret,
    ReadSecret,
    CreateSecret,
    PatchSecret,
    DeleteSecret,
    PatchStatus,
}

impl Ask {
    pub(super) const fn method(self) -> Method {
        match self {
            Self::LookSecret | Self::ReadSecret => Method::GET,
            Self::CreateSecret => Method::POST,
            Self::PatchSecret | Self::PatchStatus => Method::PATCH,
            Self::DeleteSecret => Method::DELETE,
        }
    }

    /// What is sent.
    pub(super) const fn content(self) -> &'static str {
        match self {
            Self::LookSecret | Self::ReadSecret | Self::CreateSecret | Self::DeleteSecret => JSON,
            Self::PatchSecret => MERGE_PATCH,
            Self::PatchStatus => JSON_PATCH,
        }
    }

    /// What is to come back: no data, but where it is asked for.
    pub(super) const fn accept(self) -> &'static str {
        match self {
            Self::ReadSecret => JSON,
            Self::LookSecret | Self::CreateSecret | Self::PatchSecret | Self::DeleteSecret | Self::PatchStatus => METADATA_ONLY,
        }
    }

    /// As the metrics call it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::LookSecret => "look_secret",
            Self::ReadSecret => "read_secret",
            Self::CreateSecret => "create_secret",
            Self::PatchSecret => "patch_secret",
            Self::DeleteSecret => "delete_secret",
            Self::PatchStatus => "patch_status",
        }
    }
}
