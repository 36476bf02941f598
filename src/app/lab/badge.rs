//! A small picture, `badge?n=7`, with the numbers of its connection and request.
//!
//! A page with many of them shows how a browser distributes its requests: each connection
//! has its own colour.

use super::number;
use crate::app::{Answer, App, Call, Request, Response};
use crate::http::Status;

pub(crate) struct Badge;

impl App for Badge {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let n = request.query("n").filter(|n| n.len() <= 4).and_then(|n| number::parse(&n, 0..=9999));
        let picture = draw(n, call.connection.number(), call.request_number);
        Answer::now(Response::new(Status::OK).content("image/svg+xml", picture.into_bytes()).no_store())
    }
}

fn draw(n: Option<u64>, connection: u32, request: u32) -> String {
    // The golden angle: successive connections have very different colours.
    let hue = u64::from(connection) * 137 % 360;
    let n = n.map(|n| n.to_string()).unwrap_or_default();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"160\" height=\"56\" viewBox=\"0 0 160 56\" \
         font-family=\"system-ui,sans-serif\" role=\"img\">\
         <title>{n} connection {connection}, request {request}</title>\
         <rect width=\"160\" height=\"56\" rx=\"10\" fill=\"hsl({hue},60%,32%)\"/>\
         <rect width=\"52\" height=\"56\" rx=\"10\" fill=\"#0003\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\">\
         <text x=\"26\" y=\"35\" font-size=\"19\" font-weight=\"600\">{n}</text>\
         <text x=\"106\" y=\"25\" font-size=\"12\">connection {connection}</text>\
         <text x=\"106\" y=\"43\" font-size=\"12\">request {request}</text></g></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, field, text};

    #[test]
    fn shows_its_numbers() {
        let response = ask(&mut Badge, "/lab/x?n=7", &[]);
        assert_eq!(response.status, Status::OK);
        assert_eq!(field(&response, "Content-Type"), Some("image/svg+xml"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        let svg = text(&response);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in [">7</text>", ">connection 12</text>", ">request 3</text>", "hsl(204,"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
    }

    #[test]
    fn anything_but_a_short_number_is_left_out() {
        for n in ["", "x", "10000", "00007", "-1", "%3Cscript%3E"] {
            let response = ask(&mut Badge, &format!("/lab/x?n={n}"), &[]);
            assert!(text(&response).contains("font-weight=\"600\"></text>"), "{n}");
        }
        assert_eq!(text(&ask(&mut Badge, "/lab/x?n=0042", &[])), draw(Some(42), 12, 3));
    }

    #[test]
    fn the_largest_numbers_make_a_picture_too() {
        assert!(draw(Some(9999), u32::MAX, u32::MAX).contains(">connection 4294967295<"));
    }
}
