//! A file as the cache keeps it: in all the forms in which it can be sent.
//!
//! ```text
//!  Entry (one cache line) ─┬─ the plain form ─▶ its block
//!                          └─▶ details ─┬─ the metadata that are compared once a second
//!                                       └─▶ coded forms ─▶ their blocks
//! ```
//!
//! The coded forms belong to the entry of the file: they are found, checked, counted and dropped
//! with it. Which one a request gets is decided by a set of codings in the entry
//! ([`AcceptedCodings`](crate::http::content_coding::AcceptedCodings)). A client that
//! sends no Accept-Encoding, and a file without coded forms, cost one comparison of a byte.
//!
//! So the usual response reads one cache line of the processor, and the block. A coded one reads
//! two more.

use super::coded;
use super::compressing::{self, Compressing};
use super::representation::{Modified, Representation, allocated};
use super::resolve::Metadata;
use crate::http::conditional;
use crate::http::content_coding::{AcceptedCodings, CodingChoice, Codings, ContentCoding};
use crate::http::head::{Method, RequestHead};
use crate::http::response::Policy;

/// A file, and its forms.
#[repr(align(64))]
pub(super) struct Entry {
    plain: Representation,
    details: Box<Details>,
    /// When the file was last checked, in seconds of the loop's clock.
    pub(super) checked: u32,
    /// Which of the candidates of its path it is.
    pub(super) candidate: u8,
    /// It was used since the last sweep of the cache.
    pub(super) used: bool,
    /// The codings in which it can be sent now.
    ready: Codings,
    /// The same, and those in which it will be sent when they are made.
    offered: Codings,
}

// Every field is in the same cache line.
const _: () = assert!(size_of::<Entry>() == 64);

/// What few requests need.
struct Details {
    /// The metadata of the file when it was read.
    metadata: Metadata,
    coded: [Option<Box<Coded>>; ContentCoding::ALL.len()],
}

/// What there is in a coding.
#[derive(Default)]
struct Coded {
    /// The metadata of the file beside the plain one, if there is one, used or not.
    sibling: Option<Metadata>,
    form: Option<Representation>,
    /// The form was made of the plain one.
    is_made: bool,
    /// The job that makes it.
    compressing: Option<Compressing>,
}

/// The form that a request gets.
pub(super) struct Selected<'e> {
    pub(super) form: &'e Representation,
    pub(super) modified: Modified<'e>,
}

impl Entry {
    /// A file without coded forms.
    pub(super) fn new(plain: Representation, metadata: Metadata) -> Self {
        let coded = [const { None }; ContentCoding::ALL.len()];
        let details = Box::new(Details { metadata, coded });
        let (ready, offered) = (Codings::NONE, Codings::NONE);
        Self { plain, details, checked: 0, candidate: 0, used: true, ready, offered }
    }

    /// Takes note of a file beside this one: its metadata, and its form, if it is sent.
    pub(super) fn add_sibling(&mut self, coding: ContentCoding, sibling: Metadata, form: Option<Representation>) {
        if form.is_some() {
            self.ready = self.ready.with(coding);
            self.offered = self.offered.with(coding);
        }
        let coded = Coded { sibling: Some(sibling), form, is_made: false, compressing: None };
        self.details.coded[coding as usize] = Some(Box::new(coded));
    }

    /// It may be compressed in these codings.
    pub(super) fn offer(&mut self, codings: Codings) {
        self.offered = self.offered.union(codings);
    }

    /// It isn't worth compressing: what one coding doesn't make smaller, no other one does.
    pub(super) fn withdraw(&mut self) {
        self.offered = self.ready;
        self.details.coded.iter_mut().flatten().for_each(|coded| coded.compressing = None);
    }

    /// Takes the form that was made of it.
    pub(super) fn add_made(&mut self, coding: ContentCoding, form: Representation) {
        self.ready = self.ready.with(coding);
        let coded = self.coded_mut(coding);
        (coded.form, coded.is_made) = (Some(form), true);
    }

    /// The coding that the client would get if it were made. What is made while the entity-tag is weak
    /// would soon be dropped.
    pub(super) fn lacks(&self, codings: AcceptedCodings) -> Option<ContentCoding> {
        if self.offered == self.ready || self.plain.is_weak() {
            return None;
        }
        match codings.choose(self.offered) {
            CodingChoice::Coded(coding) => Some(coding).filter(|coding| !self.ready.contains(*coding)),
            CodingChoice::Identity | CodingChoice::NotAcceptable => None,
        }
    }

    /// The job that makes the form in a coding.
    pub(super) fn compressing(&mut self, coding: ContentCoding) -> &mut Option<Compressing> {
        &mut self.coded_mut(coding).compressing
    }

    /// The metadata of the file when it was read.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.details.metadata
    }

    /// The path that it is found by.
    pub(super) fn key(&self) -> &[u8] {
        self.plain.key()
    }

    /// Whether its heads have the fields of this policy.
    pub(super) fn is_under(&self, policy: &Policy) -> bool {
        self.plain.is_under(policy)
    }

    /// Whether an entity-tag is weak, so that it must be built again soon.
    pub(super) fn is_weak(&self) -> bool {
        self.forms().any(Representation::is_weak)
    }

    /// Whether it is unchanged, and with `siblings` those are, too. `stat` looks at the file with an
    /// ending behind its name.
    pub(super) fn is_current(&self, siblings: bool, mut stat: impl FnMut(&[u8]) -> Option<Metadata>) -> bool {
        let codings = if siblings { &ContentCoding::ALL[..] } else { &[] };
        stat(b"") == Some(self.details.metadata)
            && codings.iter().all(|&coding| {
                let sibling = self.details.coded[coding as usize].as_ref().and_then(|coded| coded.sibling);
                stat(coded::ending(coding)).filter(|found| !found.directory) == sibling
            })
    }

    fn coded_mut(&mut self, coding: ContentCoding) -> &mut Coded {
        self.details.coded[coding as usize].get_or_insert_default()
    }

    fn coded(&self) -> impl Iterator<Item = &Coded> {
        self.details.coded.iter().flatten().map(|coded| &**coded)
    }

    fn forms(&self) -> impl Iterator<Item = &Representation> {
        [&self.plain].into_iter().chain(self.coded().filter_map(|coded| coded.form.as_ref()))
    }

    /// Bytes of memory that it takes in the cache.
    pub(super) fn memory(&self) -> usize {
        // A table that has just grown is filled to 7/16, and needs a byte for each slot.
        const SLOT: usize = (size_of::<Entry>() + 1) * 16 / 7;
        let of_coded = |coded: &Coded| {
            let made = coded.form.as_ref().filter(|form| coded.is_made && form.has_descriptor());
            let compressing = coded.compressing.as_ref().map_or(0, Compressing::memory);
            allocated(size_of::<Coded>()) + made.map_or(0, |form| compressing::memory(form.size())) + compressing
        };
        let coded: usize = self.coded().map(of_coded).sum();
        let forms: usize = self.forms().map(Representation::memory).sum();
        SLOT + allocated(size_of::<Details>()) + coded + forms
    }

    /// The descriptors that it keeps open.
    pub(super) fn descriptors(&self) -> usize {
        let of_forms = self.forms().filter(|form| form.has_descriptor()).count();
        of_forms + self.coded().filter(|coded| coded.compressing.is_some()).count()
    }

    /// The form that a request gets; none if the client accepts none that is there.
    #[inline]
    pub(super) fn select(&self, request: &RequestHead<'_>) -> Option<Selected<'_>> {
        if self.ready.is_empty() {
            return request.codings.accepts_identity().then(|| self.plain());
        }
        self.select_among(request)
    }

    fn select_among(&self, request: &RequestHead<'_>) -> Option<Selected<'_>> {
        if request.present.conditional
            && let Some(named) = self.named(request)
        {
            return Some(named);
        }
        match request.codings.choose(self.ready) {
            CodingChoice::Coded(coding) => self.in_coding(coding),
            CodingChoice::Identity => Some(self.plain()),
            CodingChoice::NotAcceptable => None,
        }
    }

    /// The form that the preconditions of a request name, if the client accepts it. Of several
    /// it is the one that the client prefers.
    #[inline(never)]
    fn named(&self, request: &RequestHead<'_>) -> Option<Selected<'_>> {
        let of_range = request.present.range && request.method == Method::Get;
        let (mut codings, mut left) = (request.codings, self.ready);
        let mut forms = Vec::with_capacity(ContentCoding::ALL.len() + 1);
        loop {
            match codings.choose(left) {
                CodingChoice::Coded(coding) => {
                    forms.extend(self.in_coding(coding));
                    left = left.without(coding);
                }
                CodingChoice::Identity => {
                    forms.push(self.plain());
                    codings = codings.without_identity();
                }
                CodingChoice::NotAcceptable => break,
            }
        }
        let etags: Vec<_> = forms.iter().map(|selected| selected.form.etag()).collect();
        let number = conditional::named(&request.fields, &etags, of_range)?;
        Some(forms.swap_remove(number))
    }

    /// The form for an error page. In the plain one the number of the request has its place.
    pub(super) fn for_error(&self, codings: AcceptedCodings) -> &Representation {
        match codings.choose(self.ready) {
            CodingChoice::Coded(coding) if self.plain.mark().is_none() => {
                self.in_coding(coding).map_or(&self.plain, |coded| coded.form)
            }
            _ => &self.plain,
        }
    }

    /// The plain form.
    pub(super) fn plain(&self) -> Selected<'_> {
        let modified = Modified { metadata: &self.details.metadata, is_shared: !self.offered.is_empty() };
        Selected { form: &self.plain, modified }
    }

    fn in_coding(&self, coding: ContentCoding) -> Option<Selected<'_>> {
        let coded = self.details.coded[coding as usize].as_ref()?;
        let metadata = coded.sibling.as_ref().filter(|_| !coded.is_made).unwrap_or(&self.details.metadata);
        Some(Selected { form: coded.form.as_ref()?, modified: Modified { metadata, is_shared: true } })
    }
}
