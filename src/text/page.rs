//! What all pages of the server have in common. A template refers to these constants, so
//! that the program has each text once, and not once for each template.

/// The styles of all pages.
pub const STYLE: &str = include_str!("../templates/base.css");

/// The link to the front page.
pub const BRAND: &str = include_str!("../templates/brand.html");
