//! The forward proxy and real clients: curl, wget, apt and a browser.

mod support;

use std::path::Path;
use std::process::Command;

use support::site::Site;
use support::{Root, Server, browser, eventually, miod, pattern, run_to_end};

/// A site with a page that has links and a picture, by http and by https.
fn site() -> Site {
    let root = Root::new();
    let page = "<!DOCTYPE html><title>start</title><h1>start</h1><a href=\"deep/a.html\">a</a> <a href=\"/deep/b.html\">b\
                </a><img src=\"/images/picture.svg\">";
    root.file("site/index.html", page)
        .file("site/deep/a.html", "<title>a</title><a href=\"c.html\">c</a><a href=\"/d.html\">d</a>")
        .file("site/deep/b.html", "<title>b</title>")
        .file("site/deep/c.html", "<title>c</title>")
        .file("site/d.html", "<title>d</title>")
        .file("site/images/picture.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"7\" height=\"7\"/>")
        .file("site/large", pattern(3_000_000));
    Site::over(root, &["--tls", "auto", "--cache-control", "max-age=1000"])
}

/// A forward proxy for this site, with its log below the root.
fn proxy(site: &Site, arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["proxy", "-p", "0", "--connect-ports", &site.port().to_string(), "--access-log"]);
    command.arg(site.root.at("log")).args(arguments);
    Server::run(command)
}

/// Waits until the proxy's log has this text.
fn await_log(site: &Site, text: &str) {
    let mut log = String::new();
    let is_there = eventually(|| {
        log = std::fs::read_to_string(site.root.at("log")).unwrap();
        log.contains(text)
    });
    assert!(is_there, "{text}: {log}");
}

/// A client that asks this proxy.
fn client(program: &str, proxy: &Server) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    let url = format!("http://{}", proxy.address());
    command.env("http_proxy", &url).env("https_proxy", &url);
    command
}

#[test]
#[ignore = "needs curl"]
fn curl_asks_through_it() {
    let site = site();
    let users = site.root.at("users");
    let mut command = miod();
    assert_eq!(run_to_end(command.args(["passwd", "--cost", "4"]).arg(&users).arg("ann"), b"secret\n").code, Some(0));
    let open = proxy(&site, &[]);
    let (authority, users) = (site.authority(), users.display().to_string());
    let closed = proxy(&site, &["--proxy-auth", &users]);
    let http = format!("http://localhost:{}/large", site.server.address().port());
    let https = site.url("/large");
    let as_user = format!("http://ann:secret@{}", closed.address());
    for (server, url, arguments, status) in [
        (&open, &http, &[][..], "200"),
        (&open, &http, &["--http1.0"], "200"),
        (&open, &https, &[], "200"),
        (&closed, &http, &[], "407"),
        (&closed, &http, &["--proxy", &as_user], "200"),
        (&closed, &https, &["--proxy", &as_user], "200"),
        (&closed, &https, &["--proxy", &as_user, "--proxy-anyauth"], "200"),
    ] {
        let mut command = client("curl", server);
        command.args(["-s", "--max-time", "20", "--cacert", &authority, "-o"]).arg(site.root.at("received"));
        let outcome = run_to_end(command.args(arguments).args(["-w", "%{http_code}", url]), b"");
        assert_eq!((outcome.code, &*outcome.text()), (Some(0), status), "{url} {arguments:?}: {}", outcome.errors);
        assert!(status != "200" || std::fs::read(site.root.at("received")).unwrap() == pattern(3_000_000));
    }
    // Half of it, and the rest.
    let half = pattern(1_500_000);
    site.root.file("received", &half);
    let mut command = client("curl", &open);
    let outcome = run_to_end(command.args(["-sf", "-C", "-", &http, "-o"]).arg(site.root.at("received")), b"");
    assert!(outcome.code == Some(0) && std::fs::read(site.root.at("received")).unwrap() == pattern(3_000_000));
}

#[test]
#[ignore = "needs wget"]
fn wget_follows_the_links_of_pages_in_the_textbook_form() {
    let site = site();
    let server = proxy(&site, &[]);
    let (proxy, origin) = (server.address(), site.server.address());
    let root = Root::new();
    let mut command = Command::new("wget");
    command.current_dir(root.path()).args(["--no-config", "--no-proxy", "--tries=1", "--timeout=15", "-nv"]);
    command.args(["--recursive", "--page-requisites", "-e", "robots=off"]).arg(format!("http://{proxy}/{origin}/"));
    let outcome = run_to_end(&mut command, b"");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    // Files have the names of the links; a link that begins with a slash has no origin in it.
    for name in [
        format!("{origin}/index.html"),
        format!("{origin}/deep/a.html"),
        "deep/b.html".to_owned(),
        format!("{origin}/deep/c.html"),
        "d.html".to_owned(),
        "images/picture.svg".to_owned(),
    ] {
        assert!(root.at(&format!("{proxy}/{name}")).exists(), "{name}: {}", outcome.errors);
    }
    let mut command = client("wget", &server);
    command.current_dir(root.path()).args(["--no-config", "--tries=1", "--timeout=15", "-nv", "-O", "received"]);
    let outcome = run_to_end(command.arg(format!("http://{origin}/large")), b"");
    assert!(outcome.code == Some(0) && std::fs::read(root.at("received")).unwrap() == pattern(3_000_000));
}

/// Opens a page in Chromium, which asks this proxy, if there is one. Returns the document.
fn open(url: &str, proxy: Option<&Server>, profile: &Path) -> String {
    let mut chromium = browser::chromium(profile);
    chromium.args(["--ignore-certificate-errors", "--proxy-bypass-list=<-loopback>"]).arg(
        proxy.map_or("--no-proxy-server".to_owned(), |proxy| format!("--proxy-server=http://{}", proxy.address())),
    );
    browser::open(&mut chromium, url)
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_shows_pages_by_http_and_by_https() {
    let site = site();
    let server = proxy(&site, &[]);
    let profile = site.root.at("profile");
    let origin = site.server.address();
    for (url, proxy) in [
        (format!("http://{origin}/"), Some(&server)),
        (site.url("/"), Some(&server)),
        (format!("http://{}/{origin}/", server.address()), None),
    ] {
        let document = open(&url, proxy, &profile);
        assert!(document.contains("<h1>start</h1>"), "{url}: {document}");
    }
    for part in [
        format!("\"GET http://{origin}/ HTTP/1.1\" 200 "),
        format!("\"GET http://{origin}/images/picture.svg HTTP/1.1\" 200 "),
        format!("\"GET /{origin}/ HTTP/1.1\" 200 "),
        format!("\"GET /{origin}/images/picture.svg HTTP/1.1\" 200 "),
        format!("\"CONNECT localhost:{} HTTP/1.1\" 200 ", site.port()),
    ] {
        await_log(&site, &part);
    }
}

#[test]
#[ignore = "needs apt and dpkg"]
fn apt_fetches_packages_through_it() {
    let root = Root::new();
    let control = "Package: miod-test\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n\
                   Description: nothing\n";
    root.file("package/DEBIAN/control", control).directory("site");
    let mut command = Command::new("dpkg-deb");
    command.args(["--build", "--root-owner-group"]).arg(root.at("package")).arg(root.at("site/miod-test.deb"));
    let outcome = run_to_end(&mut command, b"");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let package = std::fs::read(root.at("site/miod-test.deb")).unwrap();
    let sum = run_to_end(Command::new("sha256sum").arg(root.at("site/miod-test.deb")), b"").text();
    let sum = sum.split(' ').next().unwrap();
    root.file("site/Packages", format!("{control}Filename: ./miod-test.deb\nSize: {}\nSHA256: {sum}\n", package.len()));
    let site = Site::over(root, &["--tls", "auto"]);
    let server = proxy(&site, &[]);
    let origin = site.server.address();
    for directory in ["state/lists/partial", "cache/archives/partial", "etc"] {
        site.root.directory(directory);
    }
    site.root.file("etc/sources.list", format!("deb [trusted=yes] http://{origin}/ ./\n")).file("state/status", "");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        let path = |name: &str| site.root.at(name).display().to_string();
        for option in [
            format!("Acquire::http::Proxy=http://{}", server.address()),
            format!("Dir::Etc::SourceList={}", path("etc/sources.list")),
            format!("Dir::Etc::SourceParts={}", path("etc/none")),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::Lists={}", path("state/lists")),
            format!("Dir::State::Status={}", path("state/status")),
            format!("Dir::Cache={}", path("cache")),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Retries=0".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(site.root.path()).args(arguments);
        let outcome = run_to_end(&mut command, b"");
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {} {}", outcome.text(), outcome.errors);
    };
    apt(&["update"]);
    apt(&["download", "miod-test"]);
    assert_eq!(std::fs::read(site.root.at("miod-test_1.0_all.deb")).unwrap(), package);
    await_log(&site, &format!("\"GET http://{origin}/./miod-test.deb HTTP/1.1\" 200 "));
}
