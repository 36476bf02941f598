//! Changes of files show in the next response, and never within one.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use support::gzip::decode;
use support::{Client, LONG_AGO, Root, Server, eventually, get, get_with, miod, pattern};

/// One size is small enough for the cache, and one is too large.
const SIZES: [usize; 2] = [100, 20_000];

fn text(server: &Server, path: &str) -> (u16, Vec<u8>) {
    let response = server.get(path);
    (response.status, response.body)
}

#[test]
fn a_change_shows_in_the_next_response_on_a_new_connection() {
    let root = Root::new();
    root.file("f", "0");
    let server = Server::start(&root, &[]);
    // Other clients connect all the time. This makes the passes of the loop long, and
    // a pass accepts connections that are newer than its events.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.connect();
            while !over.load(Ordering::Relaxed) {
                client.send(get("/missing").repeat(200));
                for _ in 0..200 {
                    client.response();
                }
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                server.get("/missing");
            }
        });
        // The threads are stopped also when an assertion fails.
        let _stop = Stop(&over);
        change_and_request(&root, &server);
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn change_and_request(root: &Root, server: &Server) {
    for round in 0..1_000 {
        let content = round.to_string();
        match round % 3 {
            0 => fs::write(root.at("f"), &content).unwrap(),
            1 => {
                root.file("new", &content);
                fs::rename(root.at("new"), root.at("f")).unwrap();
            }
            _ => {
                fs::remove_file(root.at("f")).unwrap();
                assert_eq!(server.get("/f").status, 404, "{round}");
                root.file("f", &content);
            }
        }
        assert_eq!(text(server, "/f"), (200, content.into_bytes()));
    }
}

#[test]
fn a_change_shows_in_the_next_response_on_the_same_connection() {
    let root = Root::new();
    root.directory("d");
    for arguments in [&[][..], &["--cache-size", "0"]] {
        let server = Server::start(&root, arguments);
        let mut client = server.connect();
        let mut request = |path: &str| {
            client.send(get(path));
            let response = client.response();
            (response.status, response.body)
        };
        for size in SIZES {
            let content = |byte: u8| vec![byte; size];
            for path in ["f", "d/f"] {
                let at = root.at(path);
                let path = format!("/{path}");
                assert_eq!(request(&path).0, 404);
                fs::write(&at, content(b'a')).unwrap();
                assert_eq!(request(&path), (200, content(b'a')), "created after a 404");
                fs::write(&at, content(b'b')).unwrap();
                assert_eq!(request(&path), (200, content(b'b')), "written");
                File::options().write(true).open(&at).unwrap().write_all_at(b"c", 7).unwrap();
                assert_eq!(request(&path).1[6..9], *b"bcb", "written in the middle");
                File::options().append(true).open(&at).unwrap().write_all(b"more").unwrap();
                assert_eq!(request(&path).1.len(), size + 4, "appended to");
                File::options().write(true).open(&at).unwrap().set_len(3).unwrap();
                assert_eq!(request(&path), (200, b"bbb".to_vec()), "truncated");
                fs::write(root.at("next"), content(b'd')).unwrap();
                fs::rename(root.at("next"), &at).unwrap();
                assert_eq!(request(&path), (200, content(b'd')), "replaced");
                fs::remove_file(&at).unwrap();
                assert_eq!(request(&path).0, 404, "deleted");
            }
        }
    }
}

#[test]
fn siblings_show_in_the_next_response_on_the_same_connection() {
    let root = Root::new();
    for (arguments, size) in [(&[][..], 100), (&[], 20_000), (&["--cache-size", "0"], 100)] {
        let server = Server::start(&root, arguments);
        let mut client = server.connect();
        let mut request = || {
            client.send(get_with("/f.bin", "Accept-Encoding: gzip, br\r\n"));
            let response = client.response();
            let coding = response.field("Content-Encoding").unwrap_or_default().to_owned();
            (response.status, coding, response.body.first().copied().unwrap_or_default())
        };
        let is = |coding: &str, byte: u8| (200, coding.to_owned(), byte);
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(LONG_AGO + seconds);
        root.file("f.bin.gz", vec![b'g'; size]).set_modified("f.bin.gz", at(5));
        assert_eq!(request().0, 404, "it shows nothing that isn't there without it");
        root.file("f.bin", vec![b'p'; size]).set_modified("f.bin", at(5));
        assert_eq!(request(), is("gzip", b'g'), "the file was created");
        root.file("f.bin.br", vec![b'b'; size]);
        assert_eq!(request(), is("br", b'b'), "created");
        root.file("next", vec![b'c'; size]);
        fs::rename(root.at("next"), root.at("f.bin.br")).unwrap();
        assert_eq!(request(), is("br", b'c'), "replaced");
        root.set_modified("f.bin.br", at(4));
        assert_eq!(request(), is("gzip", b'g'), "older");
        root.set_modified("f.bin.br", at(5));
        assert_eq!(request(), is("br", b'c'), "newer");
        fs::rename(root.at("f.bin.br"), root.at("elsewhere")).unwrap();
        assert_eq!(request(), is("gzip", b'g'), "moved away");
        root.link("f.bin.br", "elsewhere");
        assert_eq!(request(), is("br", b'c'), "a link");
        fs::remove_file(root.at("f.bin.br")).unwrap();
        assert_eq!(request(), is("gzip", b'g'), "deleted");
        root.set_modified("f.bin", at(6));
        assert_eq!(request(), is("", b'p'), "the file was touched");
        root.set_modified("f.bin.gz", at(6));
        assert_eq!(request(), is("gzip", b'g'));
        fs::remove_file(root.at("f.bin")).unwrap();
        assert_eq!(request().0, 404, "the file was deleted");
    }
}

#[test]
fn a_file_is_compressed_until_it_changes() {
    let root = Root::new();
    let server = Server::start(&root, &[]);
    let mut client = server.connect();
    let mut request = || {
        client.send(get_with("/f.txt", "Accept-Encoding: gzip\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.field("Vary")), (200, Some("Accept-Encoding")));
        (response.field("Content-Encoding").is_some(), response.body)
    };
    // The compressed form is in the cache as a whole, or behind a descriptor.
    for count in [1_000, 50_000] {
        let content = |from: usize| (from..from + count).map(|line| format!("line {line}\n")).collect::<String>();
        for from in [0, 7] {
            root.old_file("f.txt", content(from));
            assert_eq!(request(), (false, content(from).into_bytes()), "what was made of the old one is gone");
            let mut coded = Vec::new();
            assert!(eventually(|| {
                let (is_coded, body) = request();
                coded = body;
                is_coded
            }));
            assert!(decode(&coded) == content(from));
        }
    }
}

#[test]
fn created_removed_and_moved_directories_show_with_their_content() {
    let root = Root::new();
    root.file("a/b/f", "one").file("a/b/g", pattern(20_000));
    let server = Server::start(&root, &[]);
    let status = |path: &str| server.get(path).status;
    assert_eq!([status("/a/b/f"), status("/a/b/g"), status("/z/b/f"), status("/a/")], [200, 200, 404, 404]);
    fs::rename(root.at("a"), root.at("z")).unwrap();
    assert_eq!([status("/a/b/f"), status("/a/b/g"), status("/z/b/f"), status("/z/b/g")], [404, 404, 200, 200]);
    root.file("a/b/f", "two");
    assert_eq!([status("/a/b"), status("/a"), status("/a/")], [404, 404, 404]);
    assert_eq!(server.get("/a/b/f").text(), "two");
    root.file("a/index.html", "index");
    assert_eq!((status("/a"), server.get("/a/").text()), (301, "index".to_owned()));
    root.file("a/index.html", "another");
    assert_eq!(server.get("/a/").text(), "another");
    fs::remove_file(root.at("a/index.html")).unwrap();
    assert_eq!([status("/a/"), status("/a")], [404, 404]);
    fs::remove_dir_all(root.at("a")).unwrap();
    assert_eq!([status("/a/"), status("/a"), status("/a/b/f"), status("/z/b/f")], [404, 404, 404, 200]);
    root.file("a", "a file in its place");
    assert_eq!([status("/a"), status("/a/"), status("/a/b/f")], [200, 404, 404]);
    root.file("404.html", "page");
    assert_eq!(server.get("/missing").text(), "page");
    root.file("404.html", "other page");
    assert_eq!(server.get("/missing").text(), "other page");
}

#[test]
fn a_site_is_deployed_by_changing_the_link_that_is_its_root() {
    let root = Root::new();
    root.old_file("one/f", "first").old_file("two/f", "second").old_file("two/g", "new").link("current", "one");
    let mut command = miod();
    command.arg("serve").arg(root.at("current")).args(["-p", "0"]);
    let server = Server::run(command);
    assert_eq!(server.get("/f").text(), "first");
    assert_eq!(server.get("/g").status, 404);
    root.link("next", "two");
    fs::rename(root.at("next"), root.at("current")).unwrap();
    assert!(eventually(|| server.get("/f").text() == "second"));
    assert_eq!(server.get("/g").text(), "new");
    // The new directory is watched too.
    root.file("two/f", "third");
    assert_eq!(server.get("/f").text(), "third");
}

#[test]
fn a_root_that_was_moved_away_and_made_again_is_served_at_once() {
    let root = Root::new();
    root.old_file("www/f", "first");
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0"]);
    let server = Server::run(command);
    for round in 0..3 {
        server.get("/f");
        fs::rename(root.at("www"), root.at(&format!("old{round}"))).unwrap();
        root.old_file("www/f", format!("round {round}"));
        assert_eq!(server.get("/f").text(), format!("round {round}"));
    }
    fs::remove_dir_all(root.at("www")).unwrap();
    assert_eq!(server.get("/f").status, 404);
    root.old_file("www/f", "last");
    assert!(eventually(|| server.get("/f").text() == "last"));
}

#[test]
#[ignore = "needs root, to mount file systems"]
fn a_root_that_is_mounted_again_is_served_at_once() {
    let root = Root::new();
    root.directory("www");
    let www = root.at("www").display().to_string();
    // A FUSE file system whose program is gone: every access fails with ENOTCONN.
    let mount = "exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none $0; exec 3>&-";
    let mut command = std::process::Command::new("unshare");
    let start = format!("{mount}; exec {} serve -p 0 $0", env!("CARGO_BIN_EXE_miod"));
    command.args(["-m", "sh", "-c", &start, &www]);
    let server = Server::run(command);
    assert_eq!(server.get("/f").status, 500);
    let pid = server.pid().to_string();
    let again = "umount -l $0; mount -t tmpfs none $0; echo mounted > $0/f";
    let status = std::process::Command::new("nsenter").args(["-m", "-t", &pid, "sh", "-c", again, &www]).status();
    assert!(status.unwrap().success());
    assert_eq!(server.get("/f").text(), "mounted\n");
}

/// Requests a file that is larger than all buffers, and reads its beginning.
fn begin_download(server: &Server, path: &str, some: usize) -> (Client, usize, Vec<u8>) {
    let mut client = server.connect();
    client.send(get(path));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; some];
    client.stream.read_exact(&mut body).unwrap();
    (client, length, body)
}

const LARGE: usize = 24 << 20;
const MIB: usize = 1 << 20;

#[test]
fn a_file_truncated_while_it_is_sent_ends_early_without_padding() {
    let root = Root::new();
    let content = pattern(LARGE);
    for length in [0, 14 * MIB] {
        root.old_file("large", &content).old_file("other", "another response");
        let server = Server::start(&root, &[]);
        let (mut client, promised, mut body) = begin_download(&server, "/large", MIB);
        assert_eq!(promised, LARGE);
        // A second request is pipelined.
        client.send(get("/other"));
        File::options().write(true).open(root.at("large")).unwrap().set_len(length as u64).unwrap();
        let (rest, reset) = client.rest_or_reset();
        body.extend(rest);
        assert!(reset, "an orderly close looks like the end of the content");
        assert!(body.len() < LARGE, "{} bytes of a file that was truncated to {length}", body.len());
        assert!(body == content[..body.len()], "it contains other bytes");
        assert_eq!(server.get("/large").body.len(), length);
        assert!(eventually(|| server.errors().contains("became shorter")));
    }
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_sent_with_its_first_size() {
    let root = Root::new();
    let content = pattern(LARGE);
    root.old_file("log", &content);
    let server = Server::start(&root, &[]);
    let (mut client, promised, mut body) = begin_download(&server, "/log", MIB);
    assert_eq!(promised, LARGE);
    File::options().append(true).open(root.at("log")).unwrap().write_all(&[b'+'; 4096]).unwrap();
    client.send(support::get_with("/log", "Range: bytes=-4097\r\n"));
    body.extend(client.take(LARGE - MIB));
    assert!(body == content);
    let next = client.response();
    assert_eq!(
        next.field("Content-Range"),
        Some(format!("bytes {}-{}/{}", LARGE - 1, LARGE + 4095, LARGE + 4096).as_str())
    );
    assert!(next.body[0] == content[LARGE - 1] && next.body[1..] == [b'+'; 4096]);
}

#[test]
fn a_file_replaced_or_removed_while_it_is_sent_is_sent_completely() {
    let root = Root::new();
    let content = pattern(LARGE);
    root.old_file("large", &content).old_file("next", "short");
    let server = Server::start(&root, &[]);
    let (mut one, _, mut body) = begin_download(&server, "/large", MIB);
    fs::rename(root.at("next"), root.at("large")).unwrap();
    assert_eq!(server.get("/large").text(), "short");
    fs::remove_file(root.at("large")).unwrap();
    assert_eq!(server.get("/large").status, 404);
    body.extend(one.take(LARGE - MIB));
    assert!(body == content);
    one.send(get("/large"));
    assert_eq!(one.response().status, 404);
}

#[test]
fn a_file_truncated_through_another_name_is_a_500_and_the_server_continues() {
    const SIZE: usize = 20_100;
    let outside = Root::new();
    let root = Root::new();
    root.old_file("f.bin", pattern(SIZE));
    // Changes through this name aren't reported to the watch of the root.
    std::fs::hard_link(root.at("f.bin"), outside.at("f.bin")).unwrap();
    let server = Server::start(&root, &[]);
    let mut client = server.connect();
    client.send(get("/f.bin"));
    assert_eq!(client.response().body, pattern(SIZE));
    std::fs::File::options().write(true).open(outside.at("f.bin")).unwrap().set_len(15_000).unwrap();
    client.send(get_with("/f.bin", "Range: bytes=0-9999,20000-20099\r\n") + &get("/missing"));
    let response = client.response();
    let text = String::from_utf8_lossy(&response.body).into_owned();
    // The file is checked once a second; then the change is found.
    match response.status {
        500 => assert!(text.starts_with("500 Internal Server Error\n") && text.ends_with("\nRequest 1/2\n"), "{text}"),
        206 => assert_eq!(response.body, pattern(SIZE)[..10_000]),
        status => panic!("{status}: {text}"),
    }
    assert_eq!(client.response().status, 404);
    assert_eq!(server.get("/missing").status, 404, "the server still runs");
}
