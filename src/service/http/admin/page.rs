//! The pages for operators: their paths and methods.

use crate::app::Methods;
use crate::http::head::Method;

/// A page for operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// The list of the others.
    Index,
    /// The process lives.
    Health,
    /// Requests should be sent here.
    Ready,
    /// The figures.
    Metrics,
    /// The configuration in use.
    Config,
    /// What the cache of the proxies counts.
    Cache,
    /// Removes stored responses.
    Purge,
}

impl Page {
    /// All pages.
    pub const ALL: [Self; 7] =
        [Self::Index, Self::Health, Self::Ready, Self::Metrics, Self::Config, Self::Cache, Self::Purge];

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Health => "/health",
            Self::Ready => "/ready",
            Self::Metrics => "/metrics",
            Self::Config => "/config",
            Self::Cache => "/cache",
            Self::Purge => "/cache/purge",
        }
    }

    /// The methods that it has.
    pub(in crate::service::http) fn methods(self) -> Methods {
        if self == Self::Purge { Methods::Only(&[Method::Post]) } else { Methods::Only(&[Method::Get, Method::Head]) }
    }
}
