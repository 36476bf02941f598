//! The pages that a site has for errors: files below its root.

use std::ops::RangeInclusive;

use crate::http::Status;

/// The page for one status, or for a class of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorPage {
    statuses: RangeInclusive<u16>,
    file: String,
}

impl ErrorPage {
    /// The page for `statuses`, which is a status from 400 to 599, `4xx` or `5xx`. `file` is
    /// relative to the root.
    ///
    /// # Errors
    /// A hint.
    pub fn new(statuses: &str, file: &str) -> Result<Self, &'static str> {
        let statuses = match statuses {
            "4xx" => 400..=499,
            "5xx" => 500..=599,
            one => match one.parse() {
                Ok(status @ 400..=599) => status..=status,
                _ => return Err("give a status from 400 to 599, 4xx or 5xx, like 404=missing.html"),
            },
        };
        Ok(Self { statuses, file: file.to_owned() })
    }

    /// The file, relative to the root.
    pub fn file(&self) -> &str {
        &self.file
    }
}

/// The pages of a site: those of the operator, and then those that every site may have.
#[derive(Debug)]
pub struct ErrorPages(Vec<ErrorPage>);

impl ErrorPages {
    /// With these pages of the operator. One for a single status takes precedence over one for
    /// its class.
    pub fn new(mut own: Vec<ErrorPage>) -> Self {
        own.sort_by_key(|page| page.statuses.len());
        for (statuses, file) in [(404..=404, "404.html"), (500..=599, "50x.html")] {
            own.push(ErrorPage { statuses, file: file.to_owned() });
        }
        Self(own)
    }

    /// The file for a status, relative to the root. It may not exist.
    pub(super) fn of(&self, status: Status) -> Option<&str> {
        self.0.iter().find(|page| page.statuses.contains(&status.0)).map(ErrorPage::file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_page_of_the_operator_comes_first() {
        let given = [("5xx", "sorry"), ("503", "later"), ("403", "no"), ("5xx", "unused")];
        let pages = ErrorPages::new(given.map(|(at, file)| ErrorPage::new(at, file).unwrap()).to_vec());
        for (status, expected) in
            [(400, None), (403, Some("no")), (404, Some("404.html")), (500, Some("sorry")), (503, Some("later"))]
        {
            assert_eq!(pages.of(Status(status)), expected, "{status}");
        }
        let all = ErrorPages::new(vec![ErrorPage::new("4xx", "all").unwrap()]);
        assert_eq!(["all", "all", "50x.html"].map(Some), [400, 404, 599].map(|status| all.of(Status(status))));
        assert_eq!(all.of(Status(200)), None);
    }

    #[test]
    fn only_errors_have_pages() {
        for wrong in ["", "200", "399", "600", "3xx", "4XX", "x", "-404", "404-405"] {
            assert!(ErrorPage::new(wrong, "f").is_err(), "{wrong}");
        }
    }
}
