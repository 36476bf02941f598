//! A directory whose files are served, with its cache. Shared by all that serve it.

use std::cell::{Ref, RefCell, RefMut};

use crate::files::Site;

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
}
