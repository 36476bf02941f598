//! Errors as answers of our own: the status, the reason, and the request's number,
//! which the access log shows too. For people as a small page, for programs that
//! don't take HTML as lines of text.
//!
//! Everything but the date and the request's number is the same each time an error
//! is met, so it is made once, as one block:
//!
//! ```text
//! | HTTP/1.1 404 Not Found, Date, Server | Content-Type … Content-Length: | <html> … request | … </html> |
//! ^ 0                                                                     ^ content          ^ number
//! ```
//!
//! An answer is its stretches, the date written over, and between them the length,
//! further field lines, and the number.

use crate::http::response::{self, Manner, Stamp, write_decimal};
use crate::http::{Reject, date};

/// The errors that were met so far. Their reasons are constants of the program, so
/// there are as many at most as it has of those, and those that it meets are few.
#[derive(Default)]
pub(super) struct ErrorPages(Vec<ErrorPage>);

/// An error as it is answered.
pub(super) struct ErrorPage {
    reject: Reject,
    html: bool,
    block: Box<[u8]>,
    content: usize,
    number: usize,
}

impl ErrorPages {
    /// The answer to `reject`, as a page or as text.
    pub(super) fn get(&mut self, reject: Reject, html: bool, stamp: &Stamp) -> &ErrorPage {
        let at = self.0.iter().position(|page| page.reject == reject && page.html == html);
        let at = at.unwrap_or_else(|| {
            self.0.push(ErrorPage::new(reject, html, stamp));
            self.0.len() - 1
        });
        &self.0[at]
    }
}

impl ErrorPage {
    fn new(reject: Reject, html: bool, stamp: &Stamp) -> Self {
        let mut block = Vec::new();
        response::begin(&mut block, reject.status, stamp);
        let media_type = if html { "text/html" } else { "text/plain" };
        let Reject { status, why } = reject;
        let title = format!("{} {}", status.0, status.reason());
        let (first, rest) = why.split_at_checked(1).unwrap_or_default();
        let sentence = format!("{}{rest}.", first.to_ascii_uppercase());
        block.extend_from_slice(
            format!(
                "Content-Type: {media_type}; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
                Cache-Control: no-store\r\nContent-Length: "
            )
            .as_bytes(),
        );
        let content = block.len();
        // Reasons are our own constants: ASCII, without markup.
        let (before, behind) = if html {
            let before = format!(
                "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
                <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n\
                <style>:root{{color-scheme:light dark}}\
                body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em}}\
                small{{opacity:.6}}</style>\n\
                <h1>{title}</h1>\n<p>{sentence}</p>\n<p><small>miod, request "
            );
            (before, "</small></p>\n</html>\n")
        } else {
            (format!("{title}\n{sentence}\nRequest "), "\n")
        };
        block.extend_from_slice(before.as_bytes());
        let number = block.len();
        block.extend_from_slice(behind.as_bytes());
        Self { reject, html, block: block.into_boxed_slice(), content, number }
    }

    /// Writes the answer to request `request` of connection `connection`; `lines` are
    /// further field lines. Says how long its body is.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        lines: &[u8],
        manner: Manner,
        stamp: &Stamp,
        (connection, request): (u32, u32),
    ) -> u64 {
        let date = out.len() + response::date_offset(self.reject.status);
        out.extend_from_slice(&self.block[..self.content]);
        out[date..date + date::LENGTH].copy_from_slice(stamp.date());
        let (mut connection_text, mut request_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let connection = connection_text.format(connection).as_bytes();
        let request = request_text.format(request).as_bytes();
        let length = self.block.len() - self.content + connection.len() + 1 + request.len();
        write_decimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(lines);
        response::end_persistence(out, manner.minor, manner.persistent);
        if manner.head_only {
            return 0;
        }
        out.extend_from_slice(&self.block[self.content..self.number]);
        out.extend_from_slice(connection);
        out.push(b'/');
        out.extend_from_slice(request);
        out.extend_from_slice(&self.block[self.number..]);
        length as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    const NOT_FOUND: Reject = Reject::new(Status::NOT_FOUND, "there is no such file");
    const MANNER: Manner = Manner { minor: 1, head_only: false, persistent: true };

    /// An answer as head and content, whose length is what is said.
    fn answer(pages: &mut ErrorPages, reject: Reject, html: bool, manner: Manner, number: (u32, u32)) -> [String; 2] {
        let stamp = Stamp::new(784_111_777, true);
        let mut out = b"before".to_vec();
        // Made at another time.
        let page = pages.get(reject, html, &Stamp::new(0, true));
        let body = page.write(&mut out, b"X: y\r\n", manner, &stamp, number);
        let text = String::from_utf8(out).unwrap();
        let (head, content) = text.strip_prefix("before").unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(body, content.len() as u64);
        assert!(manner.head_only || head.contains(&format!("\r\nContent-Length: {body}\r\n")), "{head}");
        [head, content].map(str::to_owned)
    }

    #[test]
    fn says_what_why_and_which_request() {
        let mut pages = ErrorPages::default();
        for number in [(17, 3), (0, 0), (9, 10), (99, 100), (u32::MAX, u32::MAX)] {
            let (connection, request) = number;
            let [head, text] = answer(&mut pages, NOT_FOUND, false, MANNER, number);
            assert_eq!(
                head,
                format!(
                    "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: miod\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
                    Cache-Control: no-store\r\nContent-Length: {}\r\nX: y",
                    text.len()
                )
            );
            assert_eq!(text, format!("404 Not Found\nThere is no such file.\nRequest {connection}/{request}\n"));
            let [_, page] = answer(&mut pages, NOT_FOUND, true, MANNER, number);
            let parts = [
                "<title>404 Not Found</title>",
                "<h1>404 Not Found</h1>",
                "<p>There is no such file.</p>",
                "</html>\n",
            ];
            assert!(parts.iter().all(|part| page.contains(part)), "{page}");
            assert!(page.contains(&format!("request {connection}/{request}</small>")), "{page}");
        }
        assert_eq!(pages.0.len(), 2, "each is made once");
    }

    #[test]
    fn each_error_has_its_own() {
        let mut pages = ErrorPages::default();
        let other = Reject::new(Status::NOT_FOUND, "no files are served here");
        let same = Reject::new(Status::FORBIDDEN, "there is no such file");
        for (reject, expected) in [
            (NOT_FOUND, "404 Not Found\nThere is no such file.\nRequest 1/1\n"),
            (other, "404 Not Found\nNo files are served here.\nRequest 1/1\n"),
            (same, "403 Forbidden\nThere is no such file.\nRequest 1/1\n"),
            (NOT_FOUND, "404 Not Found\nThere is no such file.\nRequest 1/1\n"),
            (Reject::new(Status(599), ""), "599 \n.\nRequest 1/1\n"),
        ] {
            assert_eq!(answer(&mut pages, reject, false, MANNER, (1, 1))[1], expected);
        }
    }

    #[test]
    fn the_head_fits_the_request() {
        let mut pages = ErrorPages::default();
        let manner = Manner { minor: 0, ..MANNER };
        assert!(answer(&mut pages, NOT_FOUND, true, manner, (1, 1))[0].ends_with("\r\nConnection: keep-alive"));
        let manner = Manner { persistent: false, ..MANNER };
        let [head, content] = answer(&mut pages, NOT_FOUND, true, manner, (1, 1));
        assert!(head.ends_with("\r\nConnection: close"), "{head}");
        let manner = Manner { head_only: true, ..manner };
        assert_eq!(answer(&mut pages, NOT_FOUND, true, manner, (1, 1)), [head, String::new()], "HEAD says the same");
        assert!(!content.is_empty());
    }
}
