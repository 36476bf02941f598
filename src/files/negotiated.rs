//! Serves one of several files that are representations of the requested path.
//!
//! ```text
//! path without a file ─▶ names of its directory ──none kept──▶ a job reads them
//!                             │                                     │
//!                             ▼                                     ▼
//!        fields, query ─▶ ranking ─▶ the best file, opened by its own path; or a list (406)
//! ```
//!
//! A path with a file of its own never comes here. What is kept is keyed by the path of a directory,
//! and each file by its own path: whatever clients send, there is no entry more.
//!
//! The response is that of the file, with its Content-Location, and with a Vary of its own line,
//! beside that of the coded forms: two lines are one list (RFC 9110 §5.3). So validators, ranges and
//! codings are those of the file.

use std::sync::Arc;

use super::candidates::ends_as_directory;
use super::load::Missed;
use super::names::{self, Names, NamesJob, Source};
use super::representation::Answered;
use super::resolve::{self, Opened};
use super::{Asked, Site, Unanswered, location, respond};
use crate::http::alternatives::{self, Candidate, Wishes};
use crate::http::language::Languages;
use crate::http::response::{self, HeadContext};
use crate::http::target;
use crate::reactor::Output;

const LOCATION: &str = "Content-Location";

/// How a representation is chosen.
#[derive(Clone, Debug, Default)]
pub struct Negotiation {
    /// The operator's order of languages.
    pub languages: Arc<Languages>,
    /// What the client doesn't accept isn't sent.
    pub strict: bool,
}

/// A representation that a client may ask for by its own path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alternative {
    /// Where it is, relative to the request: percent-encoded.
    pub reference: String,
    /// Its language, if it has one.
    pub language: Option<String>,
    /// Its media type.
    pub media_type: String,
    /// Bytes of its content.
    pub size: u64,
}

/// The representations of a resource, of which the client accepts none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAcceptable {
    /// What there is.
    pub alternatives: Vec<Alternative>,
    /// The value of Vary, if the choice depends on anything.
    pub vary: Option<&'static str>,
}

/// What a representation is looked for.
enum Wanted<'k> {
    /// For a name in the directory.
    Name(&'k [u8]),
    /// For the index of the directory.
    Index,
    /// For that, too, but the request must be for the path with the slash.
    Redirect,
}

impl Site {
    /// Serves a representation of a path without a file; none if there is no such.
    pub(super) fn negotiate(
        &mut self,
        asked: &Asked<'_>,
        missed: &Missed,
        now: u32,
        output: &mut Output,
    ) -> Option<Result<Answered, Unanswered>> {
        let negotiation = self.settings.negotiation.clone()?;
        let key = asked.key;
        let of_name = || {
            let (directory, name) = resolve::split(key);
            Some((directory, Wanted::Name(name)))
        };
        let places = match missed {
            Missed::Bare => [Some((key, Wanted::Redirect)), of_name()],
            Missed::NotFound | Missed::Directory(_) if ends_as_directory(key) => {
                [Some((key.strip_suffix(b"/").unwrap_or(key), Wanted::Index)), None]
            }
            Missed::NotFound => [of_name(), None],
            _ => return None,
        };
        // The names that were read are those of one place; the places before it have nothing. If it is
        // none of these, what is at the path has changed meanwhile.
        let is_elsewhere = |directory: &[u8]| asked.names.is_some_and(|names| *names.directory != *directory);
        let mut read = asked.names;
        for (directory, wanted) in places.into_iter().flatten().skip_while(|(directory, _)| is_elsewhere(directory)) {
            let names = match read.take() {
                Some(names) => Arc::clone(names),
                None => match self.names(directory, &negotiation, asked, now) {
                    Some(Ok(names)) => names,
                    Some(Err(job)) => return Some(Err(Unanswered::Names(Box::new(job)))),
                    None => continue,
                },
            };
            if let Some(chosen) = self.choose(&names, &wanted, &negotiation, asked, now, output) {
                return Some(chosen);
            }
        }
        None
    }

    /// The names in a directory, or the job that reads them; none if there is no such directory, or
    /// it may not be read.
    fn names(
        &mut self,
        directory: &[u8],
        negotiation: &Negotiation,
        asked: &Asked<'_>,
        now: u32,
    ) -> Option<Result<Arc<Names>, NamesJob>> {
        let Self { names, root, watch, path, settings, .. } = self;
        if let Some(names) = names.find(directory, &(), now, |names| names.is_current(root.peek(directory))) {
            return Some(Ok(names));
        }
        path.clear();
        path.extend_from_slice(directory);
        if !directory.is_empty() {
            path.push(b'/');
        }
        // The watch comes before the open, so no change is missed.
        if let Some(watch) = watch {
            watch.cover(root, path);
        }
        let Ok(Opened::Directory { dir, metadata, .. }) = root.get(path) else { return None };
        let source = Source {
            root: root.clone(),
            metadata,
            languages: Arc::clone(&negotiation.languages),
            media_types: Arc::clone(&settings.media_types),
            now: asked.context.stamp.unix_seconds(),
        };
        Some(Err(NamesJob { reading: names.begin(directory, (), now), dir, source }))
    }

    fn choose(
        &mut self,
        names: &Names,
        wanted: &Wanted<'_>,
        negotiation: &Negotiation,
        asked: &Asked<'_>,
        now: u32,
        output: &mut Output,
    ) -> Option<Result<Answered, Unanswered>> {
        let media_types = &self.settings.media_types;
        let found = match wanted {
            Wanted::Name(name) => names.of(name, media_types),
            Wanted::Index | Wanted::Redirect => {
                let of_index = self.candidates.index().map(|index| names.of(index, media_types));
                of_index.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
            }
        };
        if found.is_empty() {
            return None;
        }
        if matches!(wanted, Wanted::Redirect) {
            return Some(Err(Unanswered::Redirect(location(asked.key, asked.request.target.query))));
        }
        let candidates = found.iter().map(|&(file, media_type)| Candidate {
            language: file.language(),
            media_type,
            size: file.size,
        });
        let candidates: Vec<_> = candidates.collect();
        let wishes = Wishes::of(&asked.request.fields, asked.request.target.query);
        let ranking = alternatives::rank(&candidates, &wishes, &negotiation.languages, negotiation.strict);
        let vary = ranking.dependence.vary();
        let eligible = ranking.eligible(negotiation.strict).iter();
        let best: Vec<_> = eligible.filter_map(|ranked| Some(&*found.get(ranked.candidate)?.0.name)).collect();
        if best.is_empty() {
            let alternatives = found.iter().map(|(file, media_type)| Alternative {
                reference: reference(&file.name),
                language: file.language().map(|language| language.as_str().to_owned()),
                media_type: (*media_type).to_owned(),
                size: file.size,
            });
            let found = NotAcceptable { alternatives: alternatives.collect(), vary };
            return Some(Err(Unanswered::NotAcceptable(Box::new(found))));
        }
        // A file may be gone.
        best.into_iter().find_map(|name| self.serve_named(&names.directory, name, vary, asked, now, output))
    }

    /// Serves a file as a representation; none if it isn't there.
    fn serve_named(
        &mut self,
        directory: &[u8],
        name: &[u8],
        vary: Option<&str>,
        asked: &Asked<'_>,
        now: u32,
        output: &mut Output,
    ) -> Option<Result<Answered, Unanswered>> {
        let path = names::path(directory, name);
        let policy = asked.context.policy;
        let is_located = self.settings.fields_of(&path).iter().any(|(field, _)| field.eq_ignore_ascii_case(LOCATION));
        let location = (!is_located).then(|| reference(name));
        let mut chosen = Vec::new();
        for (field, value) in [(LOCATION, location.as_deref()), ("Vary", vary)] {
            if let Some(value) = value.filter(|_| !policy.replaces(field.as_bytes())) {
                response::field(&mut chosen, field, value.as_bytes());
            }
        }
        let further = [asked.context.further, &chosen].concat();
        let context = HeadContext { further: &further, ..asked.context };
        let asked = &Asked { request: asked.request, key: asked.key, names: None, context };
        let result = self.with(&path, asked.request.codings, context, now, |entry, cache| {
            respond(entry, cache, asked, true, output).map_err(|unanswered| unanswered.with_lines(&chosen))
        });
        match result {
            Ok(served) => Some(served),
            Err(Missed::NotFound | Missed::Redirect | Missed::Directory(_) | Missed::Bare) => None,
            Err(missed) => Some(Err(missed.refusal(&path))),
        }
    }
}

/// A reference from a path to the file of this name in its directory. A colon is encoded, so
/// nothing is taken for a scheme.
fn reference(name: &[u8]) -> String {
    let mut encoded = Vec::with_capacity(name.len());
    target::encode_path(name, &mut encoded);
    String::from_utf8_lossy(&encoded).into_owned()
}
