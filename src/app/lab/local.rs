//! Names of the machine itself.

use std::net::IpAddr;

use crate::app::Request;
use crate::http::origin;

/// Whether a request is for a name that means the client's own machine. Browsers count such
/// names as secure, since nothing is on the way.
pub(super) fn is_local(request: &Request<'_>) -> bool {
    request.head.host().is_some_and(|host| origin::is_local_name(host, IpAddr::is_loopback))
}
