//! The text formats of Prometheus (version 0.0.4) and of OpenMetrics (version 1.0.0).
//!
//! ```text
//! # HELP miod_http_requests_total Requests.        # HELP miod_http_requests Requests.
//! # TYPE miod_http_requests_total counter          # TYPE miod_http_requests counter
//! miod_http_requests_total{code="2xx"} 7           miod_http_requests_total{code="2xx"} 7
//!                                                  # EOF
//! ```
//!
//! On the left Prometheus, on the right OpenMetrics: there a counter has its suffix in the samples
//! only, and the text has an end.

use std::fmt::{Display, Write};

use super::Histogram;

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// That of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows, and begins with 0. Its samples have the suffix `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A text with figures.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
    /// The name of the samples that follow.
    name: String,
}

impl Exposition {
    /// An empty text.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new(), name: String::new() }
    }

    /// Begins a figure. Its samples follow. `name` has its unit, but not the suffix of a counter.
    pub fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        self.name = format!("{name}{suffix}");
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        let title = if self.format == Format::OpenMetrics { name.to_owned() } else { self.name.clone() };
        self.title(&title, kind, help);
    }

    fn title(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail. No help has a backslash or a line feed.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the figure that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let name = std::mem::take(&mut self.name);
        self.line(&name, "", labels, value);
        self.name = name;
    }

    /// A figure with one sample.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.begin(name, kind, help);
        self.sample(&[], value);
    }

    /// A histogram, whose values are divided by `scale` to be in the unit of the name.
    pub fn histogram<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>, scale: f64) {
        self.title(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            // OpenMetrics wants a point in each bound.
            self.line(name, "_bucket", &[("le", &format!("{:?}", bound as f64 / scale))], count);
        }
        self.line(name, "_bucket", &[("le", "+Inf")], histogram.count());
        self.line(name, "_sum", &[], histogram.sum() as f64 / scale);
        self.line(name, "_count", &[], histogram.count());
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.text;
        text.push_str(name);
        text.push_str(suffix);
        for (at, (label, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        // Writing to a string can't fail.
        let _ = writeln!(text, " {value}");
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Appends the value of a label. A backslash, a quotation mark and a line feed are escaped.
fn push_escaped(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.begin("a_requests", Kind::Counter, "Requests.");
        exposition.sample(&[("host", "x\"\\\n"), ("code", "2xx")], 7);
        exposition.one("a_open", Kind::Gauge, "Open.", 1.5);
        let mut times = Histogram::new(&[500, 1_000_000]);
        times.add(400);
        times.add(2_000_000);
        exposition.histogram("a_seconds", "Times.", &times, 1e6);
        exposition.finish()
    }

    #[test]
    fn both_formats_are_as_specified() {
        let rest = "a_requests_total{host=\"x\\\"\\\\\\n\",code=\"2xx\"} 7\n\
            # HELP a_open Open.\n# TYPE a_open gauge\na_open 1.5\n\
            # HELP a_seconds Times.\n# TYPE a_seconds histogram\n\
            a_seconds_bucket{le=\"0.0005\"} 1\na_seconds_bucket{le=\"1.0\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\n\
            a_seconds_sum 2.0004\na_seconds_count 2\n";
        let title = |name: &str| format!("# HELP {name} Requests.\n# TYPE {name} counter\n");
        assert_eq!(text(Format::Prometheus), title("a_requests_total") + rest);
        assert_eq!(text(Format::OpenMetrics), title("a_requests") + rest + "# EOF\n");
    }
}
