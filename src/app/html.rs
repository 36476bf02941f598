//! Text into HTML.
