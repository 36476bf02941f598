//! Text for HTML pages.
//!
//! Untrusted text in a page could be a script. So everything that isn't intended markup goes
//! through [`escape`], in text and in quoted attribute values alike. That isn't enough inside
//! `<script>` or `<style>`, in an unquoted attribute, or for the scheme of a link.

use std::fmt::{self, Display, Write};

/// `text` escaped for HTML text and for quoted attribute values.
///
/// Invalid UTF-8 becomes U+FFFD. So do control characters other than tab and line feed; HTML
/// can't represent most of them.
pub fn escape<T: AsRef<[u8]> + ?Sized>(text: &T) -> impl Display {
    Escape(text.as_ref())
}

struct Escape<'a>(&'a [u8]);

impl Display for Escape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in String::from_utf8_lossy(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' => f.write_char(c)?,
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:12vh auto 4rem;padding:0 1.25rem;overflow-wrap:anywhere}\
h1{font-size:1.75rem;line-height:1.25;margin:0 0 1rem;text-wrap:balance}\
a{color:light-dark(#0a58b8,#8ab8ff)}\
code,pre{font:.9em/1.5 ui-monospace,monospace;background:#8882;border-radius:.3rem;padding:.1rem .3rem}\
pre{padding:.75rem 1rem;overflow:auto}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #8884}\
th{font-weight:500;white-space:nowrap;opacity:.75}\
hr{border:0;border-top:1px solid #8884;margin:2rem 0 1rem}\
small{opacity:.7}";

/// A complete page. `title` is text. `body` is HTML; untrusted text in it must be escaped with
/// [`escape`].
///
/// The page is self-contained: it has no script, image or font, and its own style for light and
/// dark mode.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_is_never_markup() {
        assert_eq!(escape("<script>'\"&amp;").to_string(), "&lt;script&gt;&#39;&quot;&amp;amp;");
        assert_eq!(
            escape(b"\xc3\xa4\xff\0\x1b\x7f\xc2\x9b").to_string(),
            "\u{e4}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(escape("a\tb\r\nc").to_string(), "a\tb\u{fffd}\nc");
    }

    #[test]
    fn a_page_escapes_its_title_and_not_its_body() {
        let page = page("a <b>", "<p>c</p>");
        assert!(page.starts_with("<!DOCTYPE html>\n") && page.ends_with("</html>\n"));
        assert!(page.contains("<title>a &lt;b&gt;</title>") && page.contains("<body>\n<p>c</p>\n</body>"));
    }
}
