//! Status codes (RFC 9110 §15, RFC 6585), and the rejection of a request.

/// A status code, 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($code), " ", $reason, "`")] pub const $name: Status = Status($code);)*

            /// The registered reason phrase, or an empty text.
            pub const fn reason(self) -> &'static str {
                match self.0 { $($code => $reason,)* _ => "" }
            }

            /// The complete status line of a registered code.
            pub(super) fn line(self) -> Option<&'static [u8]> {
                match self.0 {
                    $($code => Some(concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes()),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    CONTINUE = 100 "Continue";
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    EARLY_HINTS = 103 "Early Hints";
    OK = 200 "OK";
    CREATED = 201 "Created";
    ACCEPTED = 202 "Accepted";
    NON_AUTHORITATIVE = 203 "Non-Authoritative Information";
    NO_CONTENT = 204 "No Content";
    RESET_CONTENT = 205 "Reset Content";
    PARTIAL_CONTENT = 206 "Partial Content";
    MULTIPLE_CHOICES = 300 "Multiple Choices";
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    FOUND = 302 "Found";
    SEE_OTHER = 303 "See Other";
    NOT_MODIFIED = 304 "Not Modified";
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    PERMANENT_REDIRECT = 308 "Permanent Redirect";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    PROXY_AUTHENTICATION_REQUIRED = 407 "Proxy Authentication Required";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    CONFLICT = 409 "Conflict";
    GONE = 410 "Gone";
    LENGTH_REQUIRED = 411 "Length Required";
    PRECONDITION_FAILED = 412 "Precondition Failed";
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    URI_TOO_LONG = 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    EXPECTATION_FAILED = 417 "Expectation Failed";
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    UNPROCESSABLE_CONTENT = 422 "Unprocessable Content";
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    PRECONDITION_REQUIRED = 428 "Precondition Required";
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    UNAVAILABLE_FOR_LEGAL_REASONS = 451 "Unavailable For Legal Reasons";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    BAD_GATEWAY = 502 "Bad Gateway";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
    INSUFFICIENT_STORAGE = 507 "Insufficient Storage";
}

impl Status {
    /// Whether a response with this code can have content: 1xx, 204 and 304 never do (RFC 9110
    /// §6.4.1), whatever the method.
    pub fn allows_content(self) -> bool {
        !(self.0 < 200 || self.0 == 204 || self.0 == 304)
    }

    /// Whether the code is an error (4xx, 5xx).
    pub fn is_error(self) -> bool {
        self.0 >= 400
    }
}

/// The rejection of a request: the status of the response, and the reason, in words for the
/// user. A parse error *is* a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reject {
    /// The status of the response.
    pub status: Status,
    /// A sentence without its full stop.
    pub why: &'static str,
}

impl Reject {
    /// A rejection with this status and reason.
    pub const fn new(status: Status, why: &'static str) -> Self {
        Self { status, why }
    }

    /// 400 with this reason.
    pub const fn bad_request(why: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_without_content_are_those_of_the_rfc() {
        for code in [100, 101, 199, 204, 304] {
            assert!(!Status(code).allows_content(), "{code}");
        }
        for code in [200, 201, 205, 206, 301, 400, 404, 500] {
            assert!(Status(code).allows_content(), "{code}");
        }
    }

    #[test]
    fn reason_phrases_are_the_registered_ones() {
        assert_eq!(Status::OK.reason(), "OK");
        assert_eq!(Status(431).reason(), "Request Header Fields Too Large");
        assert_eq!(Status(299).reason(), "");
    }
}
