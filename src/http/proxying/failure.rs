//! What a client is told if the upstream fails: the status, a sentence, and the token of
//! Proxy-Status (RFC 9209 §2.3).

use std::fmt;

use crate::http::{Reject, Status};

/// Why an upstream has no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamFailure {
    /// Its name has no address.
    NameUnknown,
    /// All of its addresses are among those that may not be asked.
    Forbidden,
    /// Its name couldn't be looked up in time.
    NameTimeout,
    /// It refuses the connection.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// The connection wasn't established in time.
    ConnectTimeout,
    /// Its certificate isn't trusted.
    Untrusted,
    /// TLS couldn't be set up.
    Tls,
    /// It closed the connection before its response was complete.
    Closed,
    /// It sent nothing in time.
    ResponseTimeout,
    /// What it sent is no response, for this reason.
    Malformed(&'static str),
    /// The head of its response is too large.
    TooLarge,
    /// Too many requests wait for it.
    Busy,
    /// All upstreams are out of order for the moment.
    NoneHealthy,
    /// The request has passed here before.
    Loop,
}

impl UpstreamFailure {
    /// The response to the client.
    pub fn reject(self) -> Reject {
        let (status, why) = match self {
            Self::NameUnknown => (Status::BAD_GATEWAY, "the name of the upstream is unknown"),
            Self::Forbidden => (Status::FORBIDDEN, "the address of the upstream may not be asked"),
            Self::NameTimeout => (Status::GATEWAY_TIMEOUT, "the name of the upstream could not be looked up in time"),
            Self::Refused => (Status::BAD_GATEWAY, "the upstream refuses the connection"),
            Self::Unreachable => (Status::BAD_GATEWAY, "the upstream can not be reached"),
            Self::ConnectTimeout => (Status::GATEWAY_TIMEOUT, "the upstream did not accept the connection in time"),
            Self::Untrusted => (Status::BAD_GATEWAY, "the certificate of the upstream isn't trusted"),
            Self::Tls => (Status::BAD_GATEWAY, "TLS to the upstream failed"),
            Self::Closed => (Status::BAD_GATEWAY, "the upstream closed the connection before its response"),
            Self::ResponseTimeout => (Status::GATEWAY_TIMEOUT, "the upstream did not respond in time"),
            Self::Malformed(_) => (Status::BAD_GATEWAY, "the response of the upstream is malformed"),
            Self::TooLarge => (Status::BAD_GATEWAY, "the head of the upstream's response is too large"),
            Self::Busy => (Status::SERVICE_UNAVAILABLE, "too many requests wait for the upstream"),
            Self::NoneHealthy => (Status::SERVICE_UNAVAILABLE, "no upstream works at the moment"),
            Self::Loop => (Status::BAD_GATEWAY, "the request has passed here before"),
        };
        Reject::new(status, why)
    }

    /// The error of Proxy-Status.
    pub fn token(self) -> &'static str {
        match self {
            Self::NameUnknown => "dns_error",
            Self::Forbidden => "destination_ip_prohibited",
            Self::NameTimeout => "dns_timeout",
            Self::Refused => "connection_refused",
            Self::Unreachable => "destination_ip_unroutable",
            Self::ConnectTimeout => "connection_timeout",
            Self::Untrusted => "tls_certificate_error",
            Self::Tls => "tls_protocol_error",
            Self::Closed => "http_response_incomplete",
            Self::ResponseTimeout => "http_response_timeout",
            Self::Malformed(_) => "http_protocol_error",
            Self::TooLarge => "http_response_header_section_size",
            Self::Busy => "connection_limit_reached",
            Self::NoneHealthy => "destination_unavailable",
            Self::Loop => "proxy_loop_detected",
        }
    }

    /// Whether another attempt may succeed, at another upstream or later: nothing of a response was
    /// received.
    pub fn is_worth_another_attempt(self) -> bool {
        match self {
            Self::Refused | Self::Unreachable | Self::ConnectTimeout | Self::Untrusted | Self::Tls | Self::Closed => {
                true
            }
            Self::NameUnknown
            | Self::Forbidden
            | Self::NameTimeout
            | Self::ResponseTimeout
            | Self::Malformed(_)
            | Self::TooLarge
            | Self::Busy
            | Self::NoneHealthy
            | Self::Loop => false,
        }
    }
}

impl fmt::Display for UpstreamFailure {
    /// For the log: the token, and what it doesn't say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())?;
        if let Self::Malformed(why) = self { write!(f, ": {why}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::UpstreamFailure::*;

    #[test]
    fn timeouts_are_504_and_the_rest_502_or_503() {
        for (failure, status, token) in [
            (NameUnknown, 502, "dns_error"),
            (Forbidden, 403, "destination_ip_prohibited"),
            (NameTimeout, 504, "dns_timeout"),
            (Refused, 502, "connection_refused"),
            (Untrusted, 502, "tls_certificate_error"),
            (ConnectTimeout, 504, "connection_timeout"),
            (ResponseTimeout, 504, "http_response_timeout"),
            (Closed, 502, "http_response_incomplete"),
            (Busy, 503, "connection_limit_reached"),
            (NoneHealthy, 503, "destination_unavailable"),
            (Loop, 502, "proxy_loop_detected"),
        ] {
            assert_eq!((failure.reject().status.0, failure.token()), (status, token));
        }
        assert!(Refused.is_worth_another_attempt() && !Malformed("a").is_worth_another_attempt());
        assert_eq!(Refused.to_string(), "connection_refused");
        assert_eq!(Malformed("the version is unknown").to_string(), "http_protocol_error: the version is unknown");
    }
}
