//! Shows how the server chooses among several representations: what the client said, what each
//! candidate is worth to it, which one wins, and why.
//!
//! The candidates are those of the demonstration: a page in three languages, and a picture in three
//! types. The choice is the one of files, by the same function. Other preferences than those of the
//! browser can be tried in a form.

use askama::Template;
use serde::Serialize;

use super::facts::{Field, printable};
use crate::app::page::{self, Foot, Script};
use crate::app::{Answer, App, Call, Request};
use crate::http::alternatives::{self, Candidate, OverrideSource, Ranked, Ranking, Wishes};
use crate::http::language::{Language, LanguageMatch, Languages};
use crate::http::negotiate::TypeFit;
use crate::http::{FieldLines, Reject, Status, cookie};

pub(crate) struct Negotiate {
    /// The files are there.
    pub(crate) linked: bool,
    /// The order of languages of the site.
    pub(crate) languages: Languages,
}

/// A file of the demonstration, its language, its media type and its size in bytes.
type File = (&'static str, Option<&'static str>, &'static str, u64);

const HTML: &str = "text/html; charset=utf-8";
/// The files of the demonstration by the path that shows one of them.
const RESOURCES: &[(&str, &[File])] = &[
    (
        "/welcome",
        &[
            ("welcome.de.html", Some("de"), HTML, 1_326),
            ("welcome.en.html", Some("en"), HTML, 1_293),
            ("welcome.zh-CN.html", Some("zh-CN"), HTML, 1_314),
        ],
    ),
    (
        "/picture",
        &[
            ("picture.avif", None, "image/avif", 2_208),
            ("picture.jpg", None, "image/jpeg", 8_685),
            ("picture.webp", None, "image/webp", 3_052),
        ],
    ),
];

/// The fields of the request that have a part in a choice.
const FIELDS: [&str; 3] = ["Accept", "Accept-Language", "Accept-Charset"];

/// What the form has at first.
const EXAMPLES: [(&str, &str); 2] =
    [("accept-language", "de-CH, zh;q=0.8, en;q=0.5"), ("accept", "text/html, image/webp, */*;q=0.5")];

#[derive(Template, Serialize)]
#[template(path = "negotiate.html", config = "src/askama.toml")]
struct NegotiatePage<'a> {
    /// What the client said, or what is tried in its place.
    offered: Vec<Field>,
    /// Refuse what isn't acceptable.
    strict: bool,
    /// The server's order of languages.
    order: String,
    resources: Vec<Resource>,
    /// What is in the form: Accept-Language and Accept.
    #[serde(skip)]
    tried: [String; 2],
    #[serde(skip)]
    linked: bool,
    #[serde(skip)]
    here: &'a str,
    #[serde(skip)]
    foot: Foot,
}

/// What may be requested, and what would be sent.
#[derive(Serialize)]
struct Resource {
    path: &'static str,
    candidates: Vec<Row>,
    /// The file that is sent; none: the list of all, with 406.
    chosen: Option<&'static str>,
    why: String,
    /// What the response tells caches.
    vary: Option<&'static str>,
}

/// A candidate. Weights are from 0 to 1.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    language: Option<&'static str>,
    media_type: &'static str,
    charset: Option<&'static str>,
    size: u64,
    language_weight: f64,
    language_found: String,
    type_weight: f64,
    type_found: &'static str,
    type_specificity: usize,
    charset_weight: f64,
    quality: f64,
    acceptable: bool,
    /// What puts it behind the chosen one.
    behind: Option<&'static str>,
}

impl App for Negotiate {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !matches!(request.path, b"" | b"/") {
            return Answer::Refused(Reject::new(Status::NOT_FOUND, "there is no such page"));
        }
        let lines = Preferences::of(request);
        let field_lines = FieldLines::of(lines.0.iter().map(|(name, value)| (*name, &**value)));
        let wishes = Wishes::of(&field_lines.fields(), request.head.target.query);
        let strict = request.query("strict").is_some();
        let page = NegotiatePage {
            offered: lines.shown(request),
            strict,
            order: self.languages.tags().collect::<Vec<_>>().join(", "),
            tried: EXAMPLES.map(|(name, example)| request.query(name).unwrap_or_else(|| example.to_owned())),
            resources: RESOURCES.iter().map(|(path, files)| self.choose(path, files, &wishes, strict)).collect(),
            linked: self.linked,
            here: request.here(),
            foot: Foot::of(call),
        };
        Answer::now(page::page_or_json(request, &page, Script::No).no_store())
    }
}

/// The field lines that are looked at: those of the request, or those of its query. Together they
/// are no larger than the head of the request: no part is longer decoded than as it was sent.
struct Preferences(Vec<(&'static str, Vec<u8>)>);

impl Preferences {
    fn of(request: &Request<'_>) -> Self {
        let fields = &request.head.fields;
        let mut lines = Vec::new();
        for name in FIELDS {
            match request.query(&name.to_ascii_lowercase()) {
                Some(tried) => lines.push((name, tried.into_bytes())),
                None => lines.extend(fields.all(name).map(|value| (name, value.to_vec()))),
            }
        }
        // A cookie is the client's, whatever is tried.
        let language = cookie::value(fields, alternatives::OVERRIDE);
        lines.extend(language.map(|value| ("Cookie", [alternatives::OVERRIDE.as_bytes(), b"=", value].concat())));
        Self(lines)
    }

    fn shown(&self, request: &Request<'_>) -> Vec<Field> {
        let field = |name: &str, value: &[u8]| Field { name: name.to_owned(), value: printable(value) };
        let mut shown: Vec<_> = self.0.iter().map(|(name, value)| field(name, value)).collect();
        shown.extend(request.query(alternatives::OVERRIDE).map(|language| field("?lang", language.as_bytes())));
        shown
    }
}

impl Negotiate {
    fn choose(&self, path: &'static str, files: &'static [File], wishes: &Wishes<'_>, strict: bool) -> Resource {
        let languages: Vec<_> = files.iter().map(|file| Language::parse(file.1?.as_bytes())).collect();
        let candidates = files.iter().zip(&languages).map(|(&(_, _, media_type, size), language)| Candidate {
            language: language.as_ref(),
            media_type,
            size,
        });
        let candidates: Vec<_> = candidates.collect();
        let ranking = alternatives::rank(&candidates, wishes, &self.languages, strict);
        let chosen = ranking.eligible(strict).first().and_then(|best| files.get(best.candidate));
        Resource {
            path,
            candidates: ranking.all.iter().enumerate().filter_map(|(at, ranked)| Row::of(at, ranked, files)).collect(),
            chosen: chosen.map(|file| file.0),
            why: why(&ranking, chosen.is_some()),
            vary: ranking.dependence.vary(),
        }
    }
}

/// Why the first candidate wins, or nothing does.
fn why(ranking: &Ranking, is_chosen: bool) -> String {
    let Some(first) = ranking.all.first() else { return String::new() };
    let [decided, _] = first.reason.sentences();
    let by = match ranking.chosen_by {
        Some(OverrideSource::Query) => "The query chose the language; ",
        Some(OverrideSource::Cookie) => "The cookie chose the language; ",
        None => "",
    };
    match (is_chosen, first.is_acceptable()) {
        (true, true) => format!("{by}{decided}."),
        (true, false) => format!("Nothing is acceptable, so the best of the rest is sent: {decided}."),
        (false, _) => "Nothing is acceptable.".to_owned(),
    }
}

impl Row {
    fn of(at: usize, ranked: &Ranked, files: &'static [File]) -> Option<Self> {
        let &(name, language, media_type, size) = files.get(ranked.candidate)?;
        let thousandths = |weight: u16| f64::from(weight) / 1_000.0;
        Some(Self {
            name,
            language,
            media_type,
            charset: alternatives::charset_of(media_type),
            size,
            language_weight: thousandths(ranked.language.weight),
            language_found: found(language, ranked.language.found),
            type_weight: thousandths(ranked.media_type.weight),
            type_found: type_found(ranked.media_type),
            type_specificity: ranked.media_type.specificity,
            charset_weight: thousandths(ranked.charset),
            quality: f64::from(ranked.quality()) / 1_000_000.0,
            acceptable: ranked.is_acceptable(),
            behind: (at > 0).then(|| ranked.reason.sentences()[1]),
        })
    }
}

/// How a media type was found, in words.
fn type_found(fit: TypeFit) -> &'static str {
    match (fit.weight, fit.specificity) {
        (0, 0) => "not accepted",
        (0, _) => "refused",
        (_, 0) => "any is good",
        (_, 1) => "all of its kind",
        (_, 2) => "named",
        (_, _) => "named with parameters",
    }
}

/// How a language was found, in words.
fn found(language: Option<&str>, found: LanguageMatch) -> String {
    let subtags = |count: u8| if count == 1 { "one subtag".to_owned() } else { format!("{count} subtags") };
    match found {
        _ if language.is_none() => "it has none".to_owned(),
        LanguageMatch::Exact => "named".to_owned(),
        LanguageMatch::LookedUp(count) => format!("lookup: a range with {} more", subtags(count)),
        LanguageMatch::Filtered(count) => format!("filtering: a range with {} less", subtags(count)),
        LanguageMatch::Any => "any is good".to_owned(),
        LanguageMatch::Nothing => "not named".to_owned(),
        LanguageMatch::Refused => "refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, field, refused, text};
    use serde_json::Value;

    fn negotiate(linked: bool) -> Negotiate {
        Negotiate { linked, languages: crate::app::catalogue::languages() }
    }

    fn json(target: &str, fields: &[&str]) -> Value {
        let fields = [&["Accept: application/json"], fields].concat();
        serde_json::from_str(text(&ask(&mut negotiate(false), target, &fields))).unwrap()
    }

    #[test]
    fn the_files_are_those_of_the_demonstration() {
        for (name, language, _, size) in RESOURCES.iter().flat_map(|(_, files)| *files) {
            let path = format!("{}/public/{name}", env!("CARGO_MANIFEST_DIR"));
            let content = std::fs::read(&path).unwrap();
            assert_eq!(content.len() as u64, *size, "{path}");
            if let Some(language) = language {
                assert!(String::from_utf8(content).unwrap().contains(&format!("<html lang=\"{language}\">")), "{path}");
            }
        }
    }

    #[test]
    fn it_says_which_candidate_wins_and_why() {
        let german = json("/lab/x?accept=*/*", &["Accept-Language: de-CH, en;q=0.5"]);
        let welcome = &german["resources"][0];
        assert_eq!(
            (&welcome["chosen"], &welcome["candidates"][0]["language_weight"]),
            (&"welcome.de.html".into(), &1.0.into())
        );
        assert_eq!(welcome["candidates"][0]["language_found"], "lookup: a range with one subtag more");
        assert_eq!(welcome["candidates"][1]["language_weight"], 0.5);
        assert_eq!(welcome["candidates"][2]["acceptable"], false);
        assert_eq!(welcome["why"], "its weights are the highest.");
        assert_eq!(welcome["candidates"][1]["behind"], "its weights are lower");
        assert_eq!(welcome["candidates"][2]["behind"], "its language isn't acceptable");
        assert_eq!(german["order"], "en, de, zh-CN");
        assert_eq!(welcome["vary"], "Accept-Language, Cookie");
        let chosen = |target: &str, fields: &[&str]| {
            let resources = json(target, fields)["resources"].clone();
            (resources[0]["chosen"].clone(), resources[1]["chosen"].clone())
        };
        let webp = "/lab/x?accept=image/webp,*/*;q=0.8&accept-language=zh";
        assert_eq!(chosen(webp, &[]), ("welcome.zh-CN.html".into(), "picture.webp".into()));
        assert_eq!(chosen("/lab/x?lang=de&accept=*/*", &[]), ("welcome.de.html".into(), "picture.avif".into()));
        assert_eq!(chosen("/lab/x?accept=*/*", &["Cookie: lang=zh"]).0, "welcome.zh-CN.html");
        assert_eq!(chosen("/lab/x?accept=text/plain&strict", &[]), (Value::Null, Value::Null));
        assert_eq!(chosen("/lab/x?accept=text/plain", &[]).0, "welcome.en.html");
        let mut by_name = Negotiate { linked: false, languages: Languages::default() };
        let page = ask(&mut by_name, "/lab/x?accept=*/*", &["Accept: text/html"]);
        assert!(text(&page).contains("<strong>welcome.de.html</strong>") && text(&page).contains("by name"));
    }

    #[test]
    fn a_browser_gets_a_page_with_everything_escaped() {
        let target = "/lab/x?accept-language=%3Cscript%3E%0a&lang=%22%3Cb%3E";
        let page = ask(&mut negotiate(true), target, &["Accept: text/html"]);
        assert_eq!((field(&page, "Vary"), field(&page, "Cache-Control")), (Some("Accept"), Some("no-store")));
        let page = text(&page);
        assert!(page.contains("&#60;script&#62;\u{fffd}") && page.contains("<a href=\"/welcome\">"), "{page}");
        assert!(page.contains("value=\"&#60;script&#62;\n\""), "the form keeps what was tried");
        assert!(page.contains("value=\"text/html, image/webp, */*;q=0.5\""));
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        let elsewhere = ask(&mut negotiate(false), "/lab/x", &["Accept: text/html"]);
        assert!(!text(&elsewhere).contains("<a href=\"/welcome\">"));
        assert_eq!(refused(&mut negotiate(false), "/lab/x/y", &[]), Status::NOT_FOUND);
    }
}
