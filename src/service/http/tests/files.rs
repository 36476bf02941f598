//! Files: what a directory shows, and what looks absent.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::files::resolve::{Root, Symlinks};
use crate::files::{Settings, Site};

/// A host with these settings for the files of the bench.
pub(super) fn bench(settings: Settings) -> Bench {
    let mut bench = Bench::new();
    let root = Root::open(bench.files.path(), Symlinks::Inside).unwrap();
    let mut host = Host::default();
    host.files = Some(std::rc::Rc::new(Site::new(root, settings).into()));
    bench.shared.http.web = host.into();
    bench
}

fn listing() -> Settings {
    Settings { listing: true, ..Settings::default() }
}

/// The status of a path, and its Location.
fn look(bench: &mut Bench, path: &str) -> (u16, Option<String>) {
    bench.send(get(path));
    bench.run_jobs();
    let response = bench.responses();
    let location = response.lines().find_map(|line| line.strip_prefix("Location: "));
    (statuses(&response)[0], location.map(str::to_owned))
}

#[test]
fn a_directory_that_shows_nothing_looks_absent_with_and_without_its_slash() {
    let mut plain = bench(Settings::default());
    for directory in ["none", "with", "closed", "behind"] {
        plain.files.directory(directory);
    }
    plain.files.file("with/index.html", "index");
    plain.files.link("link", "with");
    plain.files.link("link-to-none", "none");
    plain.files.link("behind/index.html", "../with/index.html");
    // Its index may be read, but not its list of names.
    plain.files.file("closed/index.html", "index");
    fs::set_permissions(plain.files.at("closed"), fs::Permissions::from_mode(0o711)).unwrap();
    for path in ["/none", "/none/", "/none?x", "/link-to-none", "/link-to-none/", "/never", "/never/"] {
        for _ in 0..2 {
            assert_eq!(look(&mut plain, path), (404, None), "{path}");
        }
    }
    for path in ["/with", "/link", "/behind", "/closed"] {
        assert_eq!(look(&mut plain, path), (301, Some(format!("{path}/"))));
        assert_eq!(look(&mut plain, &format!("{path}/")), (200, None), "{path}");
    }

    let mut listed = bench(listing());
    listed.files.directory("none");
    assert_eq!(look(&mut listed, "/none"), (301, Some("/none/".to_owned())));
    assert_eq!(look(&mut listed, "/none/"), (200, None));
}

#[test]
fn only_a_file_is_an_index() {
    for listed in [false, true] {
        let mut bench = bench(Settings { listing: listed, ..Settings::default() });
        for directory in ["directory/index.html", "link", "fifo", "broken", "deep/index.html/index.html"] {
            bench.files.directory(directory);
        }
        bench.files.link("link/index.html", "../directory");
        bench.files.fifo("fifo/index.html");
        bench.files.link("broken/index.html", "nothing");
        fs::remove_file(bench.files.at("index.html")).unwrap();
        bench.files.directory("index.html");
        let expected = if listed { 200 } else { 404 };
        for path in ["/", "/directory/", "/link/", "/fifo/", "/broken/", "/deep/", "/deep/index.html/", "/index.html/"]
        {
            for _ in 0..2 {
                assert_eq!(look(&mut bench, path), (expected, None), "{path}");
            }
        }
        let below = look(&mut bench, "/directory/index.html");
        assert_eq!(below, if listed { (301, Some("/directory/index.html/".to_owned())) } else { (404, None) });
    }
}

#[test]
fn a_page_for_errors_that_is_a_directory_is_not_used() {
    let mut bench = bench(Settings { spa: Some("app.html".to_owned()), ..Settings::default() });
    for directory in ["app.html", "404.html/index.html"] {
        bench.files.directory(directory);
    }
    assert_eq!(look(&mut bench, "/never"), (404, None));
}

#[test]
fn a_file_whose_size_is_not_that_of_its_content_is_refused() {
    let mut bench = bench(Settings::default());
    bench.files.file("empty", "");
    assert_eq!(look(&mut bench, "/empty"), (200, None));
    // The first says that it is empty, the second that it has 4,096 bytes.
    for (directory, name) in [("/proc/self", "/status"), ("/sys/kernel", "/uevent_seqnum")] {
        let directory = std::path::Path::new(directory);
        if !directory.join(&name[1..]).exists() {
            continue; // A system without it.
        }
        let root = Root::open(directory, Symlinks::Inside).unwrap();
        let mut host = Host::default();
        host.files = Some(std::rc::Rc::new(Site::new(root, Settings::default()).into()));
        bench.shared.http.web = host.into();
        for _ in 0..2 {
            assert_eq!(look(&mut bench, name), (403, None));
        }
    }
}
