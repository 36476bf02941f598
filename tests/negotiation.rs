//! Negotiation of language and type over real connections.

mod support;

use std::process::Command;

use support::reload;
use support::{Client, Response, Root, Server, browser, eventually, get, get_with, gzip, head_with, miod, run_to_end};

fn site() -> Root {
    let root = Root::new();
    for name in ["guide.de.html", "guide.en.html", "guide.zh-CN.html", "guide.zh-TW.html"] {
        root.old_file(name, name);
    }
    root.old_file("photo.avif", "avif").old_file("photo.webp", "webp+").old_file("photo.jpg", "jpeg++");
    root.old_file("exact.html", "exact").old_file("exact.de.html", "another");
    root.old_file("d/index.de.html", "index de").old_file("d/index.en.html", "index en");
    root.old_file("empty/notes.txt", "notes").old_file("one.fr.html", "une");
    root
}

const NEGOTIATE: &[&str] = &["--negotiate", "--languages", "en,de"];

fn language(server: &Server, path: &str, accepted: &str) -> Response {
    server.get_with(path, &format!("Accept-Language: {accepted}\r\n"))
}

#[test]
fn the_client_gets_the_language_that_it_prefers() {
    let server = Server::start_with(site(), NEGOTIATE);
    for (accepted, expected) in [
        ("de", "de"),
        ("de-CH, en;q=0.5", "de"),
        ("en-US", "en"),
        ("en;q=0.4, de;q=0.5", "de"),
        ("en;q=0.5, de;q=0.5", "en"),
        ("zh, zh-CN;q=0.9", "zh-CN"),
        ("zh-Hant-TW, zh-TW;q=0.3", "zh-TW"),
        ("fr", "en"),
        ("fr, *;q=0.1", "en"),
        ("en;q=0", "de"),
        ("@@, de_DE", "en"),
        ("", "en"),
    ] {
        for path in ["/guide", "/guide.html"] {
            let response = language(&server, path, accepted);
            assert_eq!(response.text(), format!("guide.{expected}.html"), "{path} {accepted}");
            assert_eq!(response.field("Content-Language"), Some(expected));
            assert_eq!(response.field("Content-Location"), Some(&*format!("guide.{expected}.html")));
            assert_eq!(response.field("Vary"), Some("Accept-Language, Cookie"));
            assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        }
    }
    assert_eq!(server.get("/guide").text(), "guide.en.html", "without the field");
    assert_eq!(server.get_with("/guide", "Accept-Charset: iso-8859-1\r\n").text(), "guide.en.html");
    // By its own path, it is a file like others.
    let own = language(&server, "/guide.de.html", "en");
    assert_eq!((own.text(), own.field("Content-Language")), ("guide.de.html".to_owned(), Some("de")));
    assert_eq!((own.field("Vary"), own.field("Content-Location")), (None, None));
    // There is one, so nothing depends on anything.
    let one = language(&server, "/one", "de");
    assert_eq!((one.text(), one.field("Content-Language"), one.field("Vary")), ("une".to_owned(), Some("fr"), None));
}

#[test]
fn the_client_gets_the_type_that_it_prefers() {
    let server = Server::start_with(site(), NEGOTIATE);
    for (accept, expected) in [
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "avif"),
        ("image/webp,*/*", "webp"),
        ("image/png,image/*;q=0.8,image/avif;q=0,*/*;q=0.5", "webp"),
        ("image/jpeg", "jpg"),
        ("*/*", "avif"),
        ("text/html", "avif"),
    ] {
        let response = server.get_with("/photo", &format!("Accept: {accept}\r\n"));
        assert_eq!(response.field("Content-Location"), Some(&*format!("photo.{expected}")), "{accept}");
        assert_eq!((response.field("Vary"), response.field("Content-Language")), (Some("Accept"), None));
    }
    assert_eq!(server.get("/photo.png").status, 404);
    assert_eq!(server.get("/photo.jpg").field("Vary"), None);
}

#[test]
fn an_exact_file_wins_and_what_changes_is_noticed() {
    let root = site();
    let server = Server::start(&root, NEGOTIATE);
    assert_eq!(language(&server, "/exact.html", "de").text(), "exact");
    assert_eq!(language(&server, "/exact", "de").text(), "another");
    assert_eq!(language(&server, "/exact", "en").text(), "exact");
    let shows = |path, expected: &str| eventually(|| language(&server, path, "de").text() == expected);
    assert!(shows("/guide", "guide.de.html"));
    root.file("guide", "a file of its own");
    assert!(shows("/guide", "a file of its own"));
    std::fs::remove_file(root.at("guide")).unwrap();
    assert!(shows("/guide", "guide.de.html"));
    root.file("guide.de.html", "changed");
    assert!(shows("/guide", "changed"));
    std::fs::remove_file(root.at("guide.de.html")).unwrap();
    assert!(shows("/guide", "guide.en.html"));
    root.file("guide.de.html", "again");
    assert!(shows("/guide", "again"));
    assert_eq!(server.get("/new").status, 404);
    root.file("new.de.html", "new");
    assert!(shows("/new", "new"));
}

#[test]
fn validators_ranges_and_codings_are_those_of_the_file() {
    let root = site();
    root.old_file("guide.de.html.gz", "compressed");
    let server = Server::start(&root, NEGOTIATE);
    let de = "Accept-Language: de\r\n";
    let whole = server.get_with("/guide", de);
    let etag = whole.field("ETag").unwrap().to_owned();
    assert_eq!(whole.text(), "guide.de.html");
    let mut client = server.connect();
    client.send(head_with("/guide", de));
    let head = client.response_to("HEAD");
    for field in ["ETag", "Content-Length", "Content-Language", "Content-Location", "Content-Type"] {
        assert_eq!(head.field(field), whole.field(field), "{field}");
    }
    let compressed = server.get_with("/guide", &format!("{de}Accept-Encoding: gzip\r\n"));
    assert_eq!((compressed.text(), compressed.field("Content-Encoding")), ("compressed".to_owned(), Some("gzip")));
    assert_ne!(compressed.field("ETag"), Some(&*etag));
    assert!(compressed.head.contains("Vary: Accept-Encoding\r\n"), "{}", compressed.head);
    assert!(compressed.head.contains("Vary: Accept-Language, Cookie\r\n"), "{}", compressed.head);
    assert_eq!(compressed.field("Content-Location"), Some("guide.de.html"));
    // There is no form in gzip of the other one, and the client refuses it as it is.
    let refusing = "Accept-Language: en\r\nAccept-Encoding: gzip, identity;q=0\r\n";
    let on_its_way = server.get_with("/guide", refusing);
    assert_eq!((on_its_way.status, gzip::decode(&on_its_way.body)), (200, "guide.en.html".to_owned()));
    for (field, value) in [
        ("Content-Location", "guide.en.html"),
        ("Content-Language", "en"),
        ("Vary", "Accept-Language, Cookie, Accept-Encoding"),
    ] {
        assert_eq!(on_its_way.field(field), Some(value), "{}", on_its_way.head);
    }
    let tag = on_its_way.field("ETag").unwrap();
    let same = server.get_with("/guide", &format!("{refusing}If-None-Match: {tag}\r\n"));
    assert_eq!(
        (same.status, same.field("ETag"), same.field("Content-Location")),
        (304, Some(tag), Some("guide.en.html"))
    );
    for (lines, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        ("Range: bytes=0-4\r\n".to_owned(), 206),
        ("Range: bytes=100-\r\n".to_owned(), 416),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
    ] {
        let response = server.get_with("/guide", &format!("{de}{lines}"));
        assert_eq!(response.status, status, "{lines}");
        if status < 400 {
            assert!(response.head.contains("Vary: Accept-Language, Cookie\r\n"), "{}", response.head);
            assert_eq!(response.field("Content-Location"), Some("guide.de.html"));
            assert_eq!(response.field("ETag"), Some(&*etag));
        }
    }
    // Another representation has another entity-tag.
    let english = server.get_with("/guide", &format!("Accept-Language: en\r\nIf-None-Match: {etag}\r\n"));
    assert_eq!((english.status, english.text()), (200, "guide.en.html".to_owned()));
}

#[test]
fn directories_have_an_index_in_several_languages() {
    let root = site();
    for arguments in [&["--negotiate"][..], &["--negotiate", "--listing"]] {
        let server = Server::start(&root, arguments);
        // Without an order, languages are sorted.
        assert_eq!(server.get("/d/").text(), "index de");
        let english = language(&server, "/d/", "en");
        assert_eq!((english.text(), english.field("Content-Location")), ("index en".to_owned(), Some("index.en.html")));
        let redirect = server.get("/d?a=b");
        assert_eq!((redirect.status, redirect.field("Location")), (301, Some("/d/?a=b")));
        let is_listed = arguments.len() > 1;
        assert_eq!(server.get("/empty/").status, if is_listed { 200 } else { 404 });
        assert_eq!(server.get("/empty").status, if is_listed { 301 } else { 404 });
        assert_eq!(server.get("/").status, if is_listed { 200 } else { 404 });
    }
    // A directory of that name is in nobody's way, if it shows nothing.
    root.old_file("guide/style.css", "css").old_file("d.fr.html", "another");
    let server = Server::start(&root, NEGOTIATE);
    for _ in 0..2 {
        assert_eq!(language(&server, "/guide", "de").text(), "guide.de.html");
    }
    assert_eq!((server.get("/guide/").status, server.get("/empty").status), (404, 404));
    assert_eq!(language(&server, "/d", "fr").field("Location"), Some("/d/"));
    let listed = Server::start(&root, &["--negotiate", "--listing"]);
    assert_eq!(listed.get("/guide").field("Location"), Some("/guide/"));
    root.old_file("d/index.html", "exact");
    let server = Server::start(&root, NEGOTIATE);
    assert_eq!(language(&server, "/d/", "de").text(), "exact");
    std::fs::remove_file(root.at("d/index.html")).unwrap();
    assert!(eventually(|| language(&server, "/d/", "de").text() == "index de"));
}

#[test]
fn strict_negotiation_lists_what_there_is() {
    let server = Server::start_with(site(), &[NEGOTIATE, &["--strict-negotiation"]].concat());
    assert_eq!(server.get("/guide").text(), "guide.en.html", "without the field");
    assert_eq!(language(&server, "/guide", "de").text(), "guide.de.html");
    let refused = language(&server, "/guide", "fr");
    assert_eq!((refused.status, refused.field("Content-Location")), (406, None));
    assert_eq!(refused.field("Vary"), Some("Accept-Language, Cookie, Accept"));
    let text = refused.text();
    for name in ["guide.de.html (de, text/html; charset=utf-8, 13 bytes)", "guide.zh-TW.html (zh-TW, "] {
        assert!(text.contains(name), "{text}");
    }
    let json = server.get_with("/guide", "Accept-Language: fr\r\nAccept: application/json\r\n");
    let found: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
    assert_eq!(found[0]["reference"], "guide.de.html");
    assert_eq!(server.get_with("/photo", "Accept: image/png\r\n").status, 406);
    assert_eq!(server.get_with("/photo", "Accept: image/*;q=0.1\r\n").status, 200);
    assert_eq!(server.head("/photo").status, 200);
    assert_eq!(server.get("/nothing").status, 404);
}

#[test]
fn the_query_or_a_cookie_chooses_the_language() {
    let server = Server::start_with(site(), NEGOTIATE);
    let ask = |path: &str, cookie: &str| server.get_with(path, &format!("Accept-Language: en\r\nCookie: {cookie}\r\n"));
    for (path, cookie, expected, vary) in [
        ("/guide?lang=de", "", "de", None),
        ("/guide?a=b&lang=zh-tw", "lang=de", "zh-TW", None),
        ("/guide", "lang=de", "de", Some("Accept-Language, Cookie")),
        ("/guide?lang=fr", "lang=de", "de", Some("Accept-Language, Cookie")),
        ("/guide?lang=fr", "", "en", Some("Accept-Language, Cookie")),
        ("/guide?lang=..%2f..%2fetc", "lang=../x", "en", Some("Accept-Language, Cookie")),
        ("/guide?lang=%0d%0aX:y", "lang=\"<\"", "en", Some("Accept-Language, Cookie")),
    ] {
        let response = ask(path, cookie);
        assert_eq!(response.field("Content-Language"), Some(expected), "{path} {cookie}");
        assert_eq!(response.field("Vary"), vary, "{path} {cookie}");
    }
    let long = format!("/guide?lang={}", "de-".repeat(2_000));
    assert_eq!(ask(&long, "").field("Content-Language"), Some("en"));
}

#[test]
fn what_is_not_served_is_no_representation() {
    let root = site();
    let outside = Root::new();
    outside.file("secret.html", "secret");
    root.file(".secret.de.html", "hidden")
        .file("hidden/.x.de.html", "hidden")
        .file("many.dots.in.a.name.de.html", "dots");
    root.link("link.de.html", "guide.de.html")
        .link("out.de.html", outside.at("secret.html"))
        .link("up", outside.path());
    root.file("page.de.html.gz", "no sibling").file("page.bak", "old").file("a:b.de.html", "colon");
    let server = Server::start(&root, NEGOTIATE);
    for path in
        ["/.secret", "/hidden/.x", "/out", "/out.html", "/up/secret", "/page", "/page.html", "/guide/", "/x/y/z"]
    {
        for _ in 0..2 {
            assert_eq!(language(&server, path, "de").status, 404, "{path}");
        }
    }
    assert_eq!(language(&server, "/link", "de").text(), "guide.de.html");
    assert_eq!(language(&server, "/many.dots.in.a.name", "de").text(), "dots");
    let colon = language(&server, "/a:b", "de");
    assert_eq!((colon.text(), colon.field("Content-Location")), ("colon".to_owned(), Some("a%3Ab.de.html")));
    let none = Server::start(&root, &["--symlinks", "none", "--negotiate"]);
    assert_eq!(language(&none, "/link", "de").status, 404);
    let off = Server::start_with(site(), &[]);
    assert_eq!((off.get("/guide").status, off.get("/guide.de.html").field("Content-Language")), (404, None));
    // A page of its own has a pretty URL.
    let pretty = Server::start_with(site(), &[NEGOTIATE, &["--pretty-urls"]].concat());
    for (path, expected) in [
        ("/exact", "exact"),
        ("/exact.html", "exact"),
        ("/guide", "guide.de.html"),
        ("/guide.zh-CN", "guide.zh-CN.html"),
        ("/d/index", "index de"),
    ] {
        assert_eq!(language(&pretty, path, "de").text(), expected, "{path}");
    }
    // The page for paths that aren't found comes after them.
    let spa = Server::start_with(site(), &["--negotiate", "--spa", "exact.html"]);
    assert_eq!(
        (language(&spa, "/guide", "de").text(), spa.get("/none").text()),
        ("guide.de.html".to_owned(), "exact".to_owned())
    );
}

#[test]
fn fields_by_name_are_those_of_the_chosen_file_and_rules_those_of_the_path() {
    let root = site();
    root.file(".users", "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW\n");
    let config = format!(
        "bind = \"127.0.0.1:0\"\n[[host]]\nroot = \".\"\nnegotiate = true\nlanguages = \"en,de\"\n\
         [[host.header]]\nglob = \"*.de.html\"\nset = {{ Cache-Control = \"max-age=60\", Content-Language = \"de-AT\" }}\n\
         [[host.header]]\nglob = \"photo.webp\"\nset = {{ Content-Location = \"/elsewhere\" }}\n\
         [[host.route]]\npath = \"/d\"\nauth = {:?}\n[[host.route]]\npath = \"/guide\"\nheaders = {{ set = {{ X-Rule = \"1\" }} }}\n",
        root.at(".users")
    );
    let server = reload::serve(&root, &config);
    let german = language(&server, "/guide.html", "de");
    assert_eq!((german.field("Cache-Control"), german.field("X-Rule")), (Some("max-age=60"), None));
    assert_eq!((german.field("Content-Language"), german.count("Content-Language")), (Some("de-AT"), 1));
    let english = language(&server, "/guide", "en");
    assert_eq!((english.field("Cache-Control"), english.field("X-Rule")), (Some("no-cache"), Some("1")));
    let webp = server.get_with("/photo", "Accept: image/webp\r\n");
    assert_eq!((webp.field("Content-Location"), webp.count("Content-Location")), (Some("/elsewhere"), 1));
    for path in ["/d", "/d/", "/d/index", "/d/index.html", "/d/index.de"] {
        assert_eq!(language(&server, path, "de").status, 401, "{path}");
    }
}

#[test]
fn a_cache_in_front_mixes_nothing_up() {
    let origin = Server::start_with(site(), &[NEGOTIATE, &["--cache-control", "max-age=600"]].concat());
    let root = Root::new();
    let config = format!(
        "bind = \"127.0.0.1:0\"\nproxy-cache = \"memory\"\n[[host]]\n[[host.route]]\npath = \"/\"\n\
         proxy = [\"http://{}\"]\ncache = true\n",
        origin.address()
    );
    let server = reload::serve(&root, &config);
    let requests = [
        ("/guide", "Accept-Language: de\r\n", "guide.de.html"),
        ("/guide", "Accept-Language: en\r\n", "guide.en.html"),
        ("/guide", "", "guide.en.html"),
        ("/guide", "Accept-Language: de\r\nCookie: lang=zh-cn\r\n", "guide.zh-CN.html"),
        ("/guide?lang=de", "Accept-Language: en\r\n", "guide.de.html"),
        ("/photo", "Accept: image/webp\r\n", "webp+"),
        ("/photo", "Accept: image/jpeg\r\n", "jpeg++"),
    ];
    for round in 0..2 {
        for (path, lines, expected) in requests {
            let response = server.get_with(path, lines);
            assert_eq!(response.text(), expected, "{path} {lines}");
            let status = response.field("Cache-Status").unwrap();
            assert_eq!(status.contains("; hit;"), round > 0, "{path} {lines}: {status}");
        }
    }
    // By the query, it is the same for all.
    let other = server.get_with("/guide?lang=de", "Accept-Language: fr\r\nCookie: lang=en\r\n");
    assert!(
        other.text() == "guide.de.html" && other.field("Cache-Status").unwrap().contains("; hit;"),
        "{}",
        other.head
    );
}

#[test]
fn thousands_of_candidates_and_of_fields_are_bounded() {
    let root = site();
    for number in 0..3_000 {
        root.file(&format!("big/x.de-{number:04}.html"), number.to_string());
    }
    let arguments = [NEGOTIATE, &["--admin", "127.0.0.1:0"]].concat();
    let server = Server::start(&root, &arguments);
    let response = language(&server, "/big/x", "de-0040");
    assert_eq!((response.text(), response.field("Content-Language")), ("40".to_owned(), Some("de-0040")));
    let mut client = server.connect();
    for number in 0..1_000 {
        let lines = format!("Accept-Language: de-{number}, x{};q=0.5\r\nAccept: a/b{number}\r\n", "y, ".repeat(100));
        client.send(get_with(&format!("/guide?lang={number}"), &lines));
        assert_eq!(client.response().status, 200);
    }
    let mut client = Client::connect(server.operators());
    client.send(get("/metrics"));
    let figures = client.response().text();
    assert!(figures.contains("\nmiod_file_cache_entries 2\n"), "{figures}");
}

#[test]
fn many_clients_at_once_wait_for_one_reading() {
    let server = Server::start_with(site(), NEGOTIATE);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get_with("/guide", "Accept-Language: de\r\n").repeat(2));
    }
    for client in &mut clients {
        assert_eq!(
            (client.response().text(), client.response().text()),
            ("guide.de.html".into(), "guide.de.html".into())
        );
    }
}

#[test]
fn wrong_options_are_refused() {
    let root = site();
    root.file(".users", "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW\n").directory("v1.2");
    let users = root.at(".users").display().to_string();
    for (arguments, why) in [
        (vec!["--languages=en".to_owned()], "need --negotiate"),
        (vec!["--strict-negotiation".to_owned()], "need --negotiate"),
        (vec!["--negotiate".to_owned(), "--languages=en,d".to_owned()], "give language tags"),
        (vec!["--negotiate".to_owned(), format!("--auth=/guide.de.html={users}")], "under shorter names, too"),
        (
            vec!["--negotiate".to_owned(), format!("--auth=/one={users}")],
            "one.fr.html is shown under its own name, too",
        ),
        (vec!["--pretty-urls".to_owned(), format!("--auth=/exact={users}")], "exact.html is shown under its own name"),
    ] {
        let mut command = miod();
        command.arg("serve").arg(root.path()).args(["-p", "0"]).args(&arguments);
        let outcome = run_to_end(&mut command, b"");
        assert!(outcome.code != Some(0) && outcome.errors.contains(why), "{arguments:?}: {outcome:?}");
    }
    for rule in ["deny", "allow"] {
        let config = format!(
            "bind = \"127.0.0.1:0\"\n[[host]]\nroot = \".\"\nnegotiate = true\n[[host.route]]\n\
             path = \"/guide.de.html\"\n{rule} = [\"192.0.2.1\"]\n",
        );
        root.file("miod.toml", config);
        let mut command = miod();
        command.arg("-c").arg(root.at("miod.toml"));
        let outcome = run_to_end(&mut command, b"");
        let why = "can't protect /guide.de.html";
        assert!(outcome.code != Some(0) && outcome.errors.contains(why), "{rule}: {outcome:?}");
    }
    let protected = Server::start(&root, &["--negotiate", &format!("--auth=/v1.2={users}")]);
    assert_eq!(protected.get("/v1.2/x").status, 401);
    Server::start(&root, &["--pretty-urls", &format!("--auth=/guide={users}"), &format!("--auth=/d={users}")]);
}

#[test]
fn the_demonstration_has_a_page_in_three_languages_and_a_picture_in_three_types() {
    let mut command = miod();
    command.args(["-p", "0"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let server = Server::run(command);
    for (accepted, words) in [("de", "Willkommen"), ("zh", "\u{6b22}\u{8fce}"), ("fr", "Welcome"), ("en-GB", "Welcome")]
    {
        let page = language(&server, "/welcome", accepted);
        assert!(page.text().contains(&format!("<h1>{words}</h1>")), "{accepted}");
    }
    for (accept, media_type) in
        [("image/webp,*/*;q=0.5", "image/webp"), ("image/jpeg", "image/jpeg"), ("*/*", "image/avif")]
    {
        let picture = server.get_with("/picture", &format!("Accept: {accept}\r\n"));
        assert_eq!((picture.status, picture.field("Content-Type")), (200, Some(media_type)));
        assert!((1_000..20_480).contains(&picture.body.len()));
    }
    let lab = server.get_with("/lab/negotiate?accept=*/*", "Accept: application/json\r\nAccept-Language: de\r\n");
    let lab: serde_json::Value = serde_json::from_str(&lab.text()).unwrap();
    for resource in lab["resources"].as_array().unwrap() {
        let served = language(&server, resource["path"].as_str().unwrap(), "de");
        assert_eq!(served.field("Content-Location"), resource["chosen"].as_str());
        let vary = format!("Vary: {}\r\n", resource["vary"].as_str().unwrap());
        assert!(served.head.contains(&vary), "{}", served.head);
    }
}

#[test]
fn the_laboratory_has_the_order_of_languages_of_the_site() {
    let mut command = miod();
    command.args(["-p", "0", "--negotiate", "--languages", "zh-CN,de"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let server = Server::run(command);
    let lab = server.get_with("/lab/negotiate", "Accept: application/json, */*;q=0.1\r\n");
    let lab: serde_json::Value = serde_json::from_str(&lab.text()).unwrap();
    assert_eq!((&lab["order"], &lab["resources"][0]["chosen"]), (&"zh-CN, de".into(), &"welcome.zh-CN.html".into()));
    assert_eq!(server.get("/welcome").field("Content-Location"), Some("welcome.zh-CN.html"));
}

/// What curl says of a request: the status, and the value of Content-Location.
fn curl(server: &Server, arguments: &[&str]) -> String {
    let url = format!("http://{}/guide", server.address());
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %header{content-location}", "-m", "20", &url]);
    String::from_utf8(command.args(arguments).output().unwrap().stdout).unwrap()
}

#[test]
#[ignore = "needs curl"]
fn curl_gets_the_languages_that_it_names() {
    let server = Server::start_with(site(), NEGOTIATE);
    for (list, expected) in [
        ("Accept-Language: de-AT, de;q=0.9, en;q=0.8", "200 guide.de.html"),
        ("Accept-Language: zh-Hans, zh-TW;q=0.7, en;q=0.2", "200 guide.zh-TW.html"),
        ("Accept-Language: fr-CA, fr;q=0.8", "200 guide.en.html"),
        ("Accept-Language:", "200 guide.en.html"),
        ("Cookie: lang=de", "200 guide.de.html"),
    ] {
        assert_eq!(curl(&server, &["-H", list]), expected, "{list}");
        assert_eq!(curl(&server, &["--compressed", "-I", "-H", list]), expected, "{list}");
    }
}

/// The document at a path as Chromium shows it to someone who reads a language.
fn chromium(server: &Server, path: &str, language: &str) -> String {
    let profile = Root::new();
    let mut chromium = browser::chromium(profile.path());
    chromium.args([format!("--lang={language}"), format!("--accept-lang={language}")]).env("LANGUAGE", language);
    browser::open(&mut chromium, &format!("http://{}{path}", server.address()))
}

#[test]
#[ignore = "needs chromium"]
fn chromium_gets_its_language_and_the_smallest_picture() {
    let root = Root::new();
    let log = root.at("access.log");
    let mut command = miod();
    command.args(["-p", "0", "--access-log"]).arg(&log).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut server = Server::run(command);
    for (language, words) in [("de", "Willkommen"), ("zh-CN", "\u{6b22}\u{8fce}"), ("fr", "Welcome")] {
        let page = chromium(&server, "/welcome", language);
        assert!(page.contains(&format!("<h1>{words}</h1>")), "{language}: {page}");
    }
    let lab = chromium(&server, "/lab/negotiate", "de");
    assert!(lab.contains("welcome.de.html") && lab.contains("<strong>welcome.de.html</strong>"), "{lab}");
    server.signal("TERM");
    assert!(server.wait().success());
    let log = std::fs::read_to_string(log).unwrap();
    let size = std::fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/public/picture.avif")).unwrap().len();
    let pictures: Vec<_> = log.lines().filter(|line| line.contains("GET /picture ")).collect();
    assert!(!pictures.is_empty() && pictures.iter().all(|line| line.contains(&format!(" 200 {size} "))), "{log}");
}

#[test]
fn without_a_watch_a_change_is_noticed_within_seconds() {
    let root = site();
    // A linked directory isn't watched.
    root.link("linked", "d");
    let server = Server::start(&root, NEGOTIATE);
    assert_eq!(language(&server, "/linked/index", "fr").text(), "index en");
    root.file("d/index.fr.html", "index fr");
    assert!(eventually(|| language(&server, "/linked/index", "fr").text() == "index fr"));
    // The next best is sent also before it is noticed that a file is gone.
    std::fs::remove_file(root.at("d/index.fr.html")).unwrap();
    assert_eq!(language(&server, "/linked/index", "fr").text(), "index en");
}
