//! REDbot checks the responses. It knows the rules of HTTP for caches and content.

mod support;

use std::process::Command;

use miod::compression::{Coding, compress};
use support::{Root, Server, eventually};

/// The notes of REDbot about a resource: level, name and sentence of each.
fn notes(url: &str) -> Vec<[String; 3]> {
    let output = Command::new("timeout").args(["60", "redbot", "-o", "har", url]).output().unwrap();
    assert!(output.status.success(), "redbot failed: {}", String::from_utf8_lossy(&output.stderr));
    let har = String::from_utf8(output.stdout).unwrap();
    let value = |note: &str, name: &str| {
        let (_, rest) = note.split_once(&format!("\"{name}\": \""))?;
        // A backslash precedes a quotation mark in the sentence.
        let end = rest.match_indices('"').find(|(at, _)| !rest[..*at].ends_with('\\'))?.0;
        Some(rest[..end].to_owned())
    };
    har.split("\"_red_messages\"")
        .skip(1)
        .flat_map(|messages| messages.split('{').skip(1))
        .map_while(|note| Some([value(note, "level")?, value(note, "note_id")?, value(note, "summary")?]))
        .collect()
}

#[test]
#[ignore = "needs redbot (from PyPI)"]
fn redbot_finds_no_fault() {
    let root = Root::new();
    let page = format!("<!doctype html>\n<title>A page</title>\n<p>{}\n", "Some words. ".repeat(200));
    root.old_file("index.html", &*page).old_file("large.bin", "0123456789abcdef".repeat(40_000));
    root.old_file("guide.de.html", "<!doctype html>\n<title>Eine Seite</title>\n");
    root.old_file("guide.en.html", "<!doctype html>\n<title>One page</title>\n");
    root.old_file("photo.avif", "avif").old_file("photo.webp", "webp").old_file("photo.jpg", "jpeg");
    root.old_file("d/index.de.html", &*page).old_file("d/index.en.html", &*page);
    let style = "p { color: #123456; }\n".repeat(100);
    root.old_file("style.css", &style).old_file("style.css.gz", compress(Coding::Gzip, style.as_bytes(), 9));
    (0..100).for_each(|number| _ = root.file(&format!("list/file-{number}.txt"), ""));
    let server = Server::start(&root, &["--negotiate", "--listing", "--apps"]);
    let compressed = ["/", "/style.css", "/list/", "/lab", "/lab/stream?chunks=3&ms=1"];
    // The first client gets the page as it is.
    assert!(eventually(|| server.get_with("/", "Accept-Encoding: gzip\r\n").field("Content-Encoding").is_some()));
    let mut faults = Vec::new();
    let negotiated = ["/guide", "/guide?lang=de", "/photo", "/d/", "/lab/negotiate"];
    let others = ["/large.bin", "/nope", "/lab/hello"].into_iter().chain(negotiated);
    for path in compressed.into_iter().chain(others) {
        let notes = notes(&format!("http://{}{path}", server.address()));
        assert!(notes.iter().any(|[_, name, _]| name == "DATE_CORRECT"), "{path}: no response was checked: {notes:?}");
        if path == "/large.bin" {
            for name in ["RANGE_CORRECT", "INM_304", "IMS_304"] {
                assert!(notes.iter().any(|note| note[1] == name), "{path}: not {name}: {notes:?}");
            }
        }
        if compressed.contains(&path) {
            assert!(notes.iter().any(|note| note[1] == "CONNEG_GZIP_GOOD"), "{path}: {notes:?}");
        }
        for [level, name, sentence] in notes {
            let line = format!("{path}: {level} {name}: {sentence}");
            match &*level {
                "BAD" => faults.push(line),
                "WARN" => println!("{line}"),
                _ => {}
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}
