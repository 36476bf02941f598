//! A mailbox in memory and one on disk.

use super::*;
use crate::files::scratch::Scratch;

/// A message with a subject.
const NAMED: &[u8] = b"Subject: =?utf-8?Q?=C3=A4?=\r\n\r\nb\r\n";

fn envelope(from: &str) -> Envelope {
    Envelope { from: from.to_owned(), recipients: vec!["b@example.org".to_owned()], ..Envelope::default() }
}

fn receive(mailbox: &mut Mailbox, content: &[u8]) -> MessageId {
    match mailbox.receive(envelope("a@example.org"), content.to_vec(), 7) {
        Receiving::Kept(id) => id,
        Receiving::Write(job) => mailbox.written(job.run()).unwrap(),
    }
}

fn finish(removing: Removing) {
    if let Removing::Job(job) = removing {
        job.run().unwrap();
    }
}

fn ids(mailbox: &mut Mailbox) -> Vec<u64> {
    mailbox.list().map(|message| message.id.to_string().parse().unwrap()).collect()
}

fn content(mailbox: &mut Mailbox, id: MessageId) -> Vec<u8> {
    mailbox.get(id).unwrap().content.clone().read().unwrap().to_vec()
}

fn events(mailbox: &mut Mailbox, seen: u64) -> Vec<Event> {
    mailbox.events(seen).unwrap().map(|(_, event)| event).collect()
}

/// A mailbox of each kind. The directory of the second is removed when this is dropped.
fn both(limits: Limits) -> (Scratch, [Mailbox; 2]) {
    let files = Scratch::new();
    let boxes = [Mailbox::in_memory(limits), Mailbox::open(&files.at("mail"), limits).unwrap()];
    (files, boxes)
}

#[test]
fn what_is_received_is_kept_byte_for_byte_and_removed() {
    let (_files, boxes) = both(Limits::default());
    for mut mailbox in boxes {
        let seen = mailbox.last_event();
        let odd = b"Subject: a\r\n\r\n\0\xff\n.\r\nmiod mail 1 {}\n";
        let (first, second) = (receive(&mut mailbox, odd), receive(&mut mailbox, b""));
        let third = receive(&mut mailbox, b"c");
        assert_eq!((content(&mut mailbox, first), content(&mut mailbox, second)), (odd.to_vec(), Vec::new()));
        let about = &mailbox.get(first).unwrap().about;
        assert_eq!((about.received, about.size), (7, odd.len() as u64));
        assert_eq!(about.envelope, envelope("a@example.org"));
        finish(mailbox.remove(second).unwrap());
        assert!(mailbox.get(second).is_none() && mailbox.remove(second).is_none());
        assert_eq!(ids(&mut mailbox), [1, 3]);
        finish(mailbox.clear());
        assert!(ids(&mut mailbox).is_empty() && mailbox.bytes() == 0);
        finish(mailbox.clear());
        let expected =
            [Event::New(first), Event::New(second), Event::New(third), Event::Removed(second), Event::Cleared];
        assert_eq!(events(&mut mailbox, seen), expected);
        // Numbers aren't used again.
        assert_eq!(receive(&mut mailbox, b"").to_string(), "4");
    }
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_too_large() {
    let few = Limits { messages: 3, bytes: u64::MAX };
    let cost =
        About { received: 0, size: 1_000, envelope: envelope("a@example.org"), summary: Summary::default() }.cost();
    let small = Limits { messages: usize::MAX, bytes: 3 * cost };
    for limits in [few, small] {
        let (files, boxes) = both(limits);
        for mut mailbox in boxes {
            for _ in 0..10 {
                receive(&mut mailbox, &[b'x'; 1_000]);
                assert!(mailbox.list().len() <= 3 && mailbox.bytes() <= 3 * cost);
            }
            assert_eq!(ids(&mut mailbox), [8, 9, 10]);
            let seen = mailbox.last_event() - 2;
            let (new, gone) = (mailbox.list().next_back().unwrap().id, MessageId::parse(b"7").unwrap());
            assert_eq!(events(&mut mailbox, seen), [Event::New(new), Event::Removed(gone)]);
        }
        // The file of a message goes with the next job at the latest.
        assert!(!files.at("mail/6.mail").exists() && files.at("mail/7.mail").exists());
        let mut mailbox = Mailbox::open(&files.at("mail"), limits).unwrap();
        assert_eq!(ids(&mut mailbox), [8, 9, 10]);
        assert!(!files.at("mail/7.mail").exists());
        // A message that is larger than all room stays until the next one.
        receive(&mut mailbox, &[b'x'; 10_000]);
        receive(&mut mailbox, b"y");
        assert_eq!(ids(&mut mailbox).last(), Some(&12));
    }
}

#[test]
fn a_restart_finds_what_is_on_disk() {
    let files = Scratch::new();
    let mut mailbox = Mailbox::open(files.path(), Limits::default()).unwrap();
    let (first, second) = (receive(&mut mailbox, b"a\r\n"), receive(&mut mailbox, NAMED));
    let seen = mailbox.last_event();
    finish(mailbox.remove(first).unwrap());
    // A job that nobody runs any more keeps nothing.
    let Receiving::Write(lost) = mailbox.receive(envelope("c"), b"c".to_vec(), 8) else { panic!("not on disk") };
    drop(lost);
    let bytes = mailbox.bytes();
    assert!(mailbox.list().all(|message| matches!(message.content, Content::Disk(..))), "a content is in memory");
    drop(mailbox);
    let mut mailbox = Mailbox::open(files.path(), Limits::default()).unwrap();
    assert_eq!((ids(&mut mailbox), mailbox.bytes()), (vec![2], bytes));
    assert_eq!(content(&mut mailbox, second), NAMED);
    let about = &mailbox.get(second).unwrap().about;
    assert_eq!((&about.envelope, &*about.summary.subject), (&envelope("a@example.org"), "ä"));
    assert!(mailbox.events(seen).is_none(), "the events of another mailbox");
    assert_eq!(receive(&mut mailbox, b"").to_string(), "3");
}

#[test]
fn a_message_whose_client_is_gone_is_kept_all_the_same() {
    let files = Scratch::new();
    let mut mailbox = Mailbox::open(files.path(), Limits::default()).unwrap();
    let Receiving::Write(job) = mailbox.receive(envelope("a"), b"x".to_vec(), 7) else { panic!("not on disk") };
    assert!(ids(&mut mailbox).is_empty());
    drop(std::thread::spawn(|| job.run()).join().unwrap());
    assert_eq!(ids(&mut mailbox), [1]);
}

#[test]
fn an_error_of_the_disk_is_reported_and_changes_nothing() {
    let files = Scratch::new();
    let mut mailbox = Mailbox::open(files.path(), Limits::default()).unwrap();
    receive(&mut mailbox, b"a");
    files.directory("2.mail/x");
    let Receiving::Write(job) = mailbox.receive(envelope("a"), b"x".to_vec(), 7) else { panic!("not on disk") };
    assert!(mailbox.written(job.run()).is_err());
    assert_eq!(ids(&mut mailbox), [1]);
    // What can't be removed stays.
    std::fs::remove_file(files.at("1.mail")).unwrap();
    files.directory("1.mail");
    let Some(Removing::Job(job)) = mailbox.remove(MessageId::FIRST) else { panic!("not on disk") };
    assert!(job.run().is_err());
    assert_eq!(ids(&mut mailbox), [1]);
    assert!(mailbox.get(MessageId::FIRST).unwrap().content.clone().read().is_err());
}
