//! The validators of a file: its entity-tag, and when it was last modified.
//!
//! The entity-tag consists of the time of modification in nanoseconds and the size, so it
//! is the same on every machine that serves the same tree. That of a coded form has the coding, too.
//!
//! **Times that say nothing.** A reproducible build, an archive or an image gives all files
//! the same time: 0 or 1 (Nix, Guix, OSTree, Bazel), 1980 (ZIP, and Gradle in February of
//! it), 1984 and 1985 (Yarn, npm). With such a time, new content of the same length would
//! look like the old one, and the client would get 304 for ever. All of these times are
//! before the first web server ran, so no file of a time before 1990 is believed. It has no
//! Last-Modified. Its entity-tag consists of the time when the inode was changed, which no
//! build can set, the size and the number of the inode. Where that time says nothing either
//! (an image whose inodes are a constant too), a random number of this process takes its
//! place, which changes with the root directory; the content of such an image changes only
//! if another one is mounted.
//!
//! **Several machines behind one balancer** have different entity-tags for such a file. So
//! a client that is sent to another machine gets the file again, with 200: more bytes, but
//! always the current ones. The same entity-tag for different content would be wrong on all
//! machines. A hash of the content would be right and the same, but the whole file would
//! have to be read first. An operator who wants 304 from all machines gives the files a time that
//! changes with the content (`touch`, or `SOURCE_DATE_EPOCH` from the commit).

use super::resolve::Metadata;

/// 1990-01-01: the first web server ran in that year.
const FIRST: i64 = 631_152_000;

/// What a client may compare.
pub(super) struct Validators {
    /// The value of ETag.
    pub(super) etag: Vec<u8>,
    /// The entity-tag is weak: the file was changed so recently that its times might not
    /// show another change.
    pub(super) weak: bool,
}

impl Validators {
    /// The validators at the time `now`, in Unix seconds. `form` tells the forms of one file
    /// apart, and the files that represent one resource; it is empty for the plain one. With `inode` the entity-tag has the inode and its
    /// change in any case. `edition` is the random number of the root.
    pub(super) fn of(metadata: &Metadata, form: &str, inode: bool, edition: u64, now: i64) -> Self {
        let modified = (metadata.modified_s, metadata.modified_ns);
        let changed = (metadata.changed_s, metadata.changed_ns);
        let is_dated = metadata.modified_s >= FIRST;
        let time = [modified, changed].into_iter().find(|(seconds, _)| *seconds >= FIRST);
        let weak = time.is_some_and(|(seconds, _)| now - seconds < 2);
        let mut etag = if weak { b"W/\"".to_vec() } else { b"\"".to_vec() };
        write_hexadecimal(&mut etag, time.map_or(edition, nanoseconds));
        etag.push(b'-');
        write_hexadecimal(&mut etag, metadata.size);
        if inode || !is_dated {
            etag.push(b'-');
            write_hexadecimal(&mut etag, metadata.inode);
            etag.push(b'-');
            write_hexadecimal(&mut etag, nanoseconds(changed));
        }
        if !form.is_empty() {
            etag.push(b'-');
            etag.extend_from_slice(form.as_bytes());
        }
        etag.push(b'"');
        Self { etag, weak }
    }
}

/// The value of Last-Modified at the time `now`, in Unix seconds, if it says anything. A
/// time later than Date is replaced by Date (RFC 9110 §8.8.2.1).
pub(super) fn last_modified(metadata: &Metadata, now: i64) -> Option<i64> {
    (metadata.modified_s >= FIRST).then(|| metadata.modified_s.min(now))
}

fn nanoseconds((seconds, nanoseconds): (i64, u32)) -> u64 {
    (i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)) as u64
}

fn write_hexadecimal(out: &mut Vec<u8>, number: u64) {
    let digits = (16 - number.leading_zeros() as usize / 4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// A file that was modified and changed at these times.
    fn file(modified_s: i64, changed_s: i64) -> Metadata {
        Metadata {
            directory: false,
            size: 10,
            modified_s,
            modified_ns: 5,
            changed_s,
            changed_ns: 6,
            inode: 7,
            device: 8,
            hard_linked: false,
        }
    }

    fn etag(metadata: &Metadata, edition: u64) -> String {
        String::from_utf8(Validators::of(metadata, "", false, edition, NOW).etag).unwrap()
    }

    #[test]
    fn a_time_that_builds_set_is_no_validator() {
        let old = NOW - 1_000_000;
        for constant in [i64::MIN / 2_000_000_000, -1, 0, 1, 315_532_800, 318_211_200, 456_789_000, 499_162_500] {
            let one = file(constant, old);
            assert_eq!(last_modified(&one, NOW), None, "{constant}");
            // New content of the same length, in place or in another file.
            let rewritten = Metadata { changed_s: old + 1, ..one };
            let replaced = Metadata { inode: 70, ..one };
            assert_ne!(etag(&one, 1), etag(&rewritten, 1), "{constant}");
            assert_ne!(etag(&one, 1), etag(&replaced, 1), "{constant}");
            assert_eq!(etag(&one, 1), etag(&one, 2), "{constant}: another process, and the same file");
            // An image in which all times are this one.
            let image = file(constant, constant);
            assert_ne!(etag(&image, 1), etag(&image, 2), "{constant}");
            assert_eq!(etag(&image, 1), etag(&image, 1), "{constant}");
        }
    }

    #[test]
    fn a_time_that_says_something_and_the_size_are_the_validator() {
        for modified in [631_152_000, 1_000_000_000, NOW - 2] {
            let one = file(modified, NOW);
            assert_eq!(last_modified(&one, NOW), Some(modified));
            let elsewhere = Metadata { inode: 70, device: 80, changed_s: 1, ..one };
            assert_eq!(etag(&one, 1), etag(&elsewhere, 2), "the same on every machine");
            assert_ne!(etag(&one, 1), etag(&Metadata { size: 11, ..one }, 1));
            assert_ne!(etag(&one, 1), etag(&Metadata { modified_ns: 6, ..one }, 1));
        }
        assert_eq!(last_modified(&file(NOW + 9, NOW), NOW), Some(NOW));
        assert_eq!(etag(&file(1_000_000_000, NOW), 1), "\"de0b6b3a7640005-a\"");
        let with_inode = Validators::of(&file(1_000_000_000, 1_000_000_001), "", true, 1, NOW).etag;
        assert_eq!(with_inode.escape_ascii().to_string().replace('\\', ""), "\"de0b6b3a7640005-a-7-de0b6b3e2feca06\"");
    }

    #[test]
    fn the_entity_tag_is_weak_while_the_time_in_it_is_young() {
        for (modified, changed, weak) in [
            (NOW, NOW, true),
            (NOW - 1, NOW, true),
            (NOW + 5, NOW, true),
            (NOW - 2, NOW, false),
            (0, NOW, true),
            (0, NOW - 1, true),
            (0, NOW - 2, false),
            (0, 0, false),
        ] {
            let validators = Validators::of(&file(modified, changed), "", false, 1, NOW);
            assert_eq!((validators.weak, validators.etag.starts_with(b"W/")), (weak, weak), "{modified} {changed}");
        }
    }
}
