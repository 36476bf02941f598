//! The answering half of an exchange: from a request to whoever answers it, files
//! or an application.

use super::visit::Call;
use super::{Cx, Http, Out, shared};
use crate::app::{Methods, Response};
use crate::files::Served;
use crate::http::head::{Expect, Method, RequestHead};
use crate::http::response::Manner;
use crate::http::{Reject, Status, negotiate, origin, target};
use crate::reactor::Ends;
use crate::text::html;

/// Where a request goes.
pub(super) enum Route {
    App(usize),
    Files,
    /// `OPTIONS`: nothing to do but to say what could be done.
    Options(Methods),
    Refused(Reject, Option<Methods>),
}

/// What files understand.
const FILE_METHODS: Methods = Methods::Only(&[Method::Get, Method::Head]);

impl Http {
    /// Finds out where a request goes.
    #[inline]
    pub(super) fn route(&self, head: &RequestHead<'_>, ends: Ends<'_>, cx: &mut Cx<'_>) -> Route {
        let http = &mut cx.shared.http;
        if head.target.form == target::Form::Asterisk {
            return Route::Options(FILE_METHODS);
        }
        let app = http.route(self.kind, &head.target);
        let methods = app.map_or(FILE_METHODS, |(_, methods)| methods);
        let served = match methods {
            Methods::Only(methods) => methods.contains(&head.method),
            Methods::Any => !matches!(head.method, Method::Connect | Method::Trace),
        };
        match (served, head.method, app) {
            (true, method, Some((index, _))) => {
                let safe = matches!(method, Method::Get | Method::Head | Method::Options);
                if !safe
                    && http.routes(self.kind).get(index).1.reads_session()
                    && origin::is_foreign(head, http.secure(head, ends))
                {
                    return Route::Refused(Reject::new(Status::FORBIDDEN, "another site caused this request"), None);
                }
                Route::App(index)
            }
            (true, _, None) => Route::Files,
            (false, Method::Options, _) => Route::Options(methods),
            (false, Method::Unknown, _) => {
                Route::Refused(Reject::new(Status::NOT_IMPLEMENTED, "the method is unknown here"), None)
            }
            (false, _, _) => {
                let why = "the method isn't allowed here";
                Route::Refused(Reject::new(Status::METHOD_NOT_ALLOWED, why), Some(methods))
            }
        }
    }

    /// Answers a request that is there with its body.
    #[inline]
    pub(super) fn respond(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let persistent = persistent && !cx.draining;
        if self.overloaded || cx.shared.http.maintenance {
            let why = if self.overloaded { "there are too many connections" } else { "the server is being maintained" };
            let reject = Reject::new(Status::SERVICE_UNAVAILABLE, why);
            self.refuse(head, reject, persistent && !self.overloaded, out, cx);
            return;
        }
        if self.admit(head, body, persistent, out, cx) {
            self.serve(head, body, persistent, out, cx);
        }
    }

    /// Answers a request that may pass.
    #[inline]
    pub(super) fn serve(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        if head.expect == Expect::Unknown {
            let reject = Reject::new(Status::EXPECTATION_FAILED, "nothing but 100-continue can be expected");
            self.refuse(head, reject, persistent, out, cx);
            return;
        }
        if head.present.accept_encoding && !negotiate::identity_acceptable(&head.fields) {
            let reject = Reject::new(Status::NOT_ACCEPTABLE, "there is nothing here but the identity coding");
            self.refuse(head, reject, persistent, out, cx);
            return;
        }
        match self.route(head, out.ends, cx) {
            Route::Files => self.respond_with_file(head, persistent, out, cx),
            Route::App(app) => {
                let secure = cx.shared.http.secure(head, out.ends);
                self.visit(Call { head, body, app, persistent, secure }, None, out, cx);
            }
            Route::Options(methods) => {
                let response = Response::new(Status::NO_CONTENT).field("Allow", allow(methods));
                self.send(response, head, persistent, out, cx);
            }
            Route::Refused(reject, methods) => {
                let lines = methods.map(|methods| format!("Allow: {}\r\n", allow(methods))).unwrap_or_default();
                self.refuse_with(head, reject, lines.as_bytes(), persistent, out, cx);
            }
        }
    }

    #[inline]
    pub(super) fn respond_with_file(
        &mut self,
        head: &RequestHead<'_>,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let http = &mut cx.shared.http;
        let served = match &mut http.site {
            Some(site) => site.serve(head, manner, &http.stamp, cx.time.now, out.output),
            None => Served::Refused(Reject::new(Status::NOT_FOUND, "no files are served here")),
        };
        match served {
            Served::Answered(answered) => {
                self.finish(head, answered.status, answered.body, answered.persistent, out, cx);
            }
            Served::Redirect(location) => {
                // A Location is made of ASCII octets that need no escape.
                let location = String::from_utf8_lossy(&location).into_owned();
                let page =
                    html::page("Moved", &format!("<p>It is at <a href=\"{0}\">{0}</a>.</p>", html::escape(&location)));
                let response = Response::new(Status::MOVED_PERMANENTLY).field("Location", location).html(page);
                self.send(response, head, persistent, out, cx);
            }
            Served::Listing { rendering, media_type } => {
                let source = shared::ListingSource(rendering);
                let response = Response::new(Status::OK)
                    .field("Cache-Control", "no-cache")
                    .field("Vary", "Accept")
                    .field("X-Content-Type-Options", "nosniff")
                    .stream(media_type, source);
                self.send(response, head, persistent, out, cx);
            }
            Served::Refused(reject) => self.refuse(head, reject, persistent, out, cx),
        }
    }
}

/// The value of Allow.
fn allow(methods: Methods) -> String {
    let names = match methods {
        Methods::Only(methods) => methods,
        Methods::Any => &[Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Patch],
    };
    let mut allow = String::new();
    for method in names.iter().filter(|method| **method != Method::Options) {
        allow.push_str(method.name());
        allow.push_str(", ");
    }
    allow.push_str("OPTIONS");
    allow
}
