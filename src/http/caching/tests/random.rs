//! Random exchanges, always the same ones: some properties hold for all of them.

use super::*;

/// A small generator of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Some directives, sometimes with junk between.
    fn control(&mut self) -> String {
        const NAMES: &[&str] = &[
            "max-age",
            "s-maxage",
            "no-cache",
            "no-store",
            "private",
            "public",
            "must-revalidate",
            "proxy-revalidate",
            "must-understand",
            "immutable",
            "stale-while-revalidate",
            "stale-if-error",
            "min-fresh",
            "max-stale",
            "only-if-cached",
            "x",
            "",
            "\"",
            "NO-STORE",
        ];
        const VALUES: &[&str] = &[
            "",
            "",
            "",
            "=1",
            "=60",
            "=99999999999999999999",
            "=-1",
            "=\"60\"",
            "=\"",
            "=\"a, b\"",
            "= 5",
            "=x",
            "=\"Vary\"",
            "=\\",
            ";q",
            "=?0",
            "=60;a",
        ];
        if self.below(3) == 0 {
            return self
                .pick(&["max-age=60", "s-maxage=60, public", "max-age=1, stale-while-revalidate=60"])
                .to_owned();
        }
        let count = self.below(5);
        (0..count)
            .map(|_| format!("{}{}", self.pick(NAMES), self.pick(VALUES)))
            .collect::<Vec<_>>()
            .join(self.pick(&[",", ", ", ",,", " "]))
    }

    fn lines(&mut self) -> Vec<(&'static str, String)> {
        const NAMES: &[&str] = &[
            "Age",
            "Authorization",
            "Connection",
            "Content-Length",
            "Content-Range",
            "Cookie",
            "Date",
            "ETag",
            "Expires",
            "If-Match",
            "If-Modified-Since",
            "If-None-Match",
            "If-Range",
            "Last-Modified",
            "Pragma",
            "Range",
            "Set-Cookie",
            "Vary",
            "Foo",
            "Accept-Encoding",
        ];
        const VALUES: &[&str] = &[
            "",
            "0",
            "60",
            "-1",
            "4294967296",
            "x",
            "*",
            "\"a\"",
            "W/\"a\"",
            "\"a\", \"b\"",
            "no-cache",
            "vary, close",
            "Sat, 21 Nov 2026 07:15:00 GMT",
            "Sat, 21 Nov 2026 07:14:00 GMT",
            "Sat, 21 Nov 2026 08:15:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Sat, 01 Jan 0000 00:00:00 GMT",
            "Saturday, 21-Nov-26 07:15:00 GMT",
            "bytes=0-1",
            "bytes=-99999999999999999999",
            "Foo, Accept-Encoding",
            "gzip ;q=0 , \"",
            "\u{e4}\t\u{fc}",
        ];
        let count = self.below(7);
        let mut lines: Vec<_> = (0..count).map(|_| (self.pick(NAMES), self.pick(VALUES).to_owned())).collect();
        for name in ["Cache-Control", "Cache-Control", "CDN-Cache-Control"] {
            if self.below(2) == 0 {
                lines.push((name, self.control()));
            }
        }
        lines
    }
}

/// What an exchange consists of: the request, the response, another request, another response;
/// the status; after how many seconds; the settings.
#[derive(Debug)]
#[expect(dead_code, reason = "shown if a rule is broken")]
struct Facts<'a>(&'a [Vec<(&'static str, String)>; 4], &'a str, i64, Settings);

fn of(lines: &[(&'static str, String)]) -> FieldLines {
    FieldLines::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

#[test]
fn random_exchanges_keep_the_rules() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut stored, mut served) = (0, 0);
    for _ in 0..20_000 {
        let settings = Settings {
            gateway: random.below(2) == 0,
            store_cookies: random.below(2) == 0,
            obey_requests: random.below(2) == 0,
            heuristic_limit: random.pick(&["0", "60", "4294967295"]).parse().unwrap(),
            stale_if_error: random.pick(&["0", "60", "4294967295"]).parse().unwrap(),
            lifetimes: (0, u32::MAX),
        };
        let written = [(); 4].map(|()| random.lines());
        let status = random.pick(&["200", "200", "200", "206", "302", "304", "404", "503", "599", "65535", "0"]);
        let seconds = [0, 1, 59, 60, 61, 120, -5, i64::MIN / 2, i64::MAX / 2][random.below(9)];
        let facts = Facts(&written, status, seconds, settings);
        let [first, fields, second, update] = written.each_ref().map(|lines| of(lines));
        let response = response(status.parse().unwrap(), &fields);
        let arrival = Arrival::of(&fields.fields(), NOW + seconds.min(60), NOW);
        let found = evaluate(&get(&first), &response, arrival, &settings);

        let now = NOW.saturating_add(seconds);
        let lookup = found.as_ref().map_or(Lookup::Nothing, Lookup::Found);
        let decision = decide(&get(&second), lookup, now, &settings);
        check(&facts, &first, &response, &found, &settings);
        if let (Ok(freshness), Decision::Serve { age, validate }) = (&found, decision) {
            served += 1;
            let directives = ResponseDirectives::of(&response.fields, &settings);
            assert!(!directives.no_cache, "{facts:?}");
            assert!(freshness.is_fresh(now) || !directives.forbid_stale(), "{facts:?}");
            assert_eq!(validate, validate && !freshness.is_fresh(now), "{facts:?}");
            assert_eq!(age, freshness.age(now), "{facts:?}");
        }
        stored += usize::from(found.is_ok());
        others(&fields, &second, &update, response.status, &settings);
    }
    assert!(stored > 1_000 && served > 300, "{stored} stored, {served} served");
}

/// What must not be stored isn't, however it is written.
fn check(
    facts: &Facts<'_>,
    request: &FieldLines,
    response: &Response<'_>,
    found: &Result<Freshness, Refusal>,
    settings: &Settings,
) {
    let Ok(freshness) = found else { return };
    let directives = ResponseDirectives::of(&response.fields, settings);
    assert!(response.status.0 == 200 || !matches!(response.status.0, ..200 | 206 | 304 | 600..), "{facts:?}");
    assert!(!directives.no_store || directives.must_understand, "{facts:?}");
    assert!(!directives.private, "{facts:?}");
    assert!(request.fields().get("authorization").is_none() || directives.allow_authorized(), "{facts:?}");
    assert!(response.fields.get("set-cookie").is_none() || settings.store_cookies, "{facts:?}");
    assert!(response.fields.tokens("vary").all(|name| name != b"*"), "{facts:?}");
    // A plain search finds the directive, whatever the parser makes of it.
    let says_no_store = |line: &[u8]| {
        line.to_ascii_lowercase().split(|byte| *byte == b',').any(|part| part.trim_ascii() == b"no-store")
    };
    let forbidden = response.fields.all("cache-control").any(says_no_store);
    assert!(!forbidden || directives.targeted || directives.must_understand || quoted(response), "{facts:?}");
    assert!(freshness.lifetime() <= 1 << 31 && freshness.age(NOW) <= 1 << 31, "{facts:?}");
}

/// In a quoted string there are no directives.
fn quoted(response: &Response<'_>) -> bool {
    response.fields.all("cache-control").any(|line| line.contains(&b'"'))
}

/// The other functions at least don't panic, and write valid lines.
fn others(stored: &FieldLines, request: &FieldLines, update: &FieldLines, status: Status, settings: &Settings) {
    let (fields, changed) = (stored.fields(), update.fields());
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    write_stored(&fields, NOW, settings, &mut out);
    write_updated(&fields, &changed, NOW, settings, &mut out);
    write_conditions(Some(&fields), changed.all("etag"), NOW, &mut out);
    out.extend_from_slice(b"\r\n");
    // A length may be there twice now, so no parser of heads accepts them.
    assert!(!out.windows(2).any(|pair| pair == b"\n\n") && out.ends_with(b"\r\n\r\n"));
    let _ = confirms(&changed, &fields, 1);
    let _ = changes_selection(&changed, &fields);
    let response = Response { status, fields: changed, body: Body::Absent };
    let _ = head_effect(&response, status, &fields, 10);
    let _ = answer(&get(request), status, &fields, 10, NOW);
    let (mut names, mut key) = (Vec::new(), Vec::new());
    if variant::write_names(&fields, &mut names) {
        variant::write_key(&names, &request.fields(), &mut key);
    }
}
