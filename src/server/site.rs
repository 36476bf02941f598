//! The settings of served directories.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::ServerError;
use super::error::Faults;
use super::surroundings::Surroundings;
use crate::app::catalogue;
use crate::config::{Handler, Host, Process};
use crate::files::glob::Glob;
use crate::files::resolve::{Root, Symlinks};
use crate::files::{self, ErrorPages};
use crate::http::language::Languages;
use crate::http::media_type::MediaTypes;

/// The settings of the files of a host, or of another directory of it.
pub(super) fn site_settings(host: &Host, surroundings: &Surroundings<'_>, faults: &mut Faults) -> files::Settings {
    let mut media_types = MediaTypes::new();
    for (extension, media_type) in &host.media_types {
        faults.keep(media_types.add(extension, media_type).map_err(ServerError::Config));
    }
    let mut fields = Vec::new();
    for (pattern, value) in &host.cache_rules {
        let glob = faults.keep(Glob::parse(pattern).map_err(ServerError::Config));
        fields.extend(glob.map(|glob| (glob, vec![("Cache-Control".to_owned(), value.clone())])));
    }
    for of_files in &host.file_fields {
        let glob = faults.keep(Glob::parse(&of_files.glob).map_err(ServerError::Config));
        fields.extend(glob.map(|glob| (glob, of_files.set.clone())));
    }
    // All directories share the limits.
    let trees = 1 + surroundings.trees;
    files::Settings {
        listing: host.listing,
        // Each takes an inotify instance, of which a user usually has 128.
        watch: trees <= WATCHED,
        cache_control: host.cache_control.clone(),
        precompressed: host.precompressed,
        cache_size: cache_size(surroundings.process) / trees,
        open_files: (surroundings.open_files / trees).max(1),
        etag_inode: host.etag_inode,
        index: if host.index.is_empty() { vec!["index.html".to_owned()] } else { host.index.clone() },
        pretty_urls: host.pretty_urls,
        negotiation: negotiation(host, surroundings),
        media_types: Arc::new(media_types),
        spa: host.spa.clone(),
        error_pages: Rc::new(ErrorPages::new(host.error_pages.clone())),
        fields,
    }
}

/// Whether files that differ in language or type are representations of one resource. The
/// demonstration has such.
pub(super) fn negotiates(host: &Host, surroundings: &Surroundings<'_>) -> bool {
    host.negotiate || surroundings.demonstration
}

/// How one of several representations is chosen.
fn negotiation(host: &Host, surroundings: &Surroundings<'_>) -> Option<files::Negotiation> {
    negotiates(host, surroundings)
        .then(|| files::Negotiation { languages: Arc::new(languages(host)), strict: host.strict_negotiation })
}

/// The order of languages; that of the demonstration, if no other is set.
pub(super) fn languages(host: &Host) -> Languages {
    if host.negotiate { host.languages.clone() } else { catalogue::languages() }
}

/// Most directories that are watched for changed files. If there are more, none is.
const WATCHED: usize = 64;

/// How many directories are served, in addition to the first one.
pub(super) fn further_trees(hosts: &[Host]) -> usize {
    let of_routes =
        |host: &Host| host.routes.iter().filter(|route| matches!(route.handler, Some(Handler::Root(_)))).count();
    let all: usize = hosts.iter().map(|host| usize::from(host.root.is_some()) + of_routes(host)).sum();
    all.saturating_sub(1)
}

/// The cache's share of the memory: at most half, so that connections have the rest.
pub(super) fn cache_size(process: &Process) -> usize {
    process.cache_size.min(process.max_memory / 2)
}

/// Opens a directory or a file that is served.
pub(super) fn open_root(path: &Path, symlinks: Symlinks) -> Result<Root, ServerError> {
    let root = Root::open(path, symlinks).map_err(|error| ServerError::Root(path.to_owned(), error))?;
    if root.fallback() {
        log::warn!("this system lacks openat2: symbolic links are not followed");
    }
    Ok(root)
}
