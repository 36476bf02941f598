//! A directory whose files are served, with its cache. Shared by all that serve it.

use std::cell::{Ref, RefCell, RefMut};

use crate::files::{CompressionJob, Site};
use crate::reactor::JobClass;
use crate::service::{Cx, Outcome};

/// A directory whose files are served.
pub struct Tree(RefCell<Site>);

impl From<Site> for Tree {
    fn from(site: Site) -> Self {
        Self(RefCell::new(site))
    }
}

impl Tree {
    /// To look at it.
    pub fn borrow(&self) -> Ref<'_, Site> {
        self.0.borrow()
    }

    /// For one call.
    pub fn borrow_mut(&self) -> RefMut<'_, Site> {
        self.0.borrow_mut()
    }

    /// Begins the job that a response has asked for, so that later ones are better.
    pub(super) fn begin_job(&self, cx: &mut Cx<'_>) {
        let job = self.0.borrow_mut().take_job();
        job.into_iter().for_each(|job| begin(job, cx));
    }
}

/// Begins to compress a file for later responses. If the job can't be taken now, one of them asks
/// again.
#[inline(never)]
pub(super) fn begin(job: Box<CompressionJob>, cx: &mut Cx<'_>) {
    let compress = move || {
        job.run();
        Outcome::Compressed
    };
    let _ = cx.run(JobClass::Compression, compress);
}
