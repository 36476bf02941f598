//! Tests of the lent buffers.

use super::super::input::RECORD;
use super::*;

fn slice(offset: u64, length: u64) -> FileSlice {
    FileSlice { file: Rc::new(std::fs::File::open("/dev/null").unwrap().into()), offset, length }
}

/// Everything in an output in the order in which it is sent, a few bytes at a time.
fn drain(output: &mut Output, step: usize) -> String {
    let mut seen = String::new();
    while let Some(next) = output.next() {
        match next {
            Next::Bytes(bytes, _) => {
                let count = bytes.len().min(step);
                seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                output.sent(count);
            }
            Next::File(file) => {
                let count = file.length.min(step as u64);
                for at in file.offset..file.offset + count {
                    seen.push_str(&format!("<{at}>"));
                }
                output.sent(count as usize);
            }
        }
    }
    seen
}

#[test]
fn files_stand_between_the_bytes_they_were_written_between() {
    for step in 1..10 {
        let mut output = Output::default();
        output.write(b"head");
        output.file(slice(7, 2));
        output.file(slice(0, 0));
        output.write(b"mid");
        output.file(slice(0, 1));
        output.write(b"tail");
        assert_eq!(output.pending(), 14);
        assert_eq!(output.room(), 0);
        assert_eq!(drain(&mut output, step), "head<7><8>mid<0>tail");
        assert!(output.is_empty());
        assert_eq!(output.room(), BUFFER);
    }
}

#[test]
fn a_rollback_takes_back_bytes_and_file_slices_together() {
    let mut output = Output::default();
    output.write(b"first");
    output.file(slice(1, 1));
    let before = output.mark();
    let failed: Result<(), &str> = output.attempt(|output| {
        output.write(b"second");
        output.file(slice(7, 2));
        output.write(b"third");
        Err("the file is too short")
    });
    assert_eq!((failed, output.mark()), (Err("the file is too short"), before));
    let whole: Result<(), ()> = output.attempt(|output| {
        output.write(b"!");
        Ok(())
    });
    assert_eq!(whole, Ok(()));
    assert_eq!(drain(&mut output, 2), "first<1>!");
}

#[test]
fn what_is_left_over_survives_being_put_away_at_any_point() {
    for cut in 0..14 {
        let (mut input, mut output) = (Input::default(), Output::default());
        input.extend(b"unread");
        input.consume(2);
        output.write(b"head");
        output.file(slice(7, 2));
        output.write(b"midtail");
        let mut seen = String::new();
        for _ in 0..cut {
            let before = output.pending();
            match output.next() {
                Some(Next::Bytes(bytes, _)) => {
                    seen.push(bytes[0] as char);
                    output.sent(1);
                }
                Some(Next::File(file)) => {
                    seen.push_str(&format!("<{}>", file.offset));
                    output.sent(1);
                }
                None => break,
            }
            assert_eq!(output.pending(), before - 1);
        }
        let mut leftover = Leftover::default();
        leftover.save(&mut input, &mut output);
        assert!(input.is_empty() && output.is_empty());
        leftover.restore(&mut input, &mut output);
        assert_eq!(input.bytes(), b"read");
        seen.push_str(&drain(&mut output, 3));
        assert_eq!(seen, "head<7><8>midtail");
    }
}

/// A long stretch of memory: `letter`, and then dots.
fn long(letter: u8) -> Bytes {
    let mut bytes = vec![b'.'; LEAST];
    bytes[0] = letter;
    Bytes::received(Rc::new(bytes), 0..LEAST)
}

/// An output of each kind of stretch, and how it reads without the dots.
fn mixed() -> (Output, &'static str) {
    let mut output = Output::default();
    output.write(b"head");
    output.share(long(b'A'));
    output.share(Bytes::copy(b"small"));
    output.share(long(b'B'));
    output.share(long(b'C'));
    output.write(b"mid");
    output.file(slice(7, 2));
    output.share(long(b'D'));
    output.write(b"tail");
    (output, "headAsmallBCmid<7><8>Dtail")
}

fn without_dots(seen: &str) -> String {
    seen.replace('.', "")
}

#[test]
fn what_is_shared_stands_between_the_bytes_it_was_written_between() {
    for step in [1, 2, 3, 1000, LEAST - 1, LEAST, usize::MAX] {
        let (mut output, expected) = mixed();
        assert_eq!(output.pending(), (expected.len() - 7 + 2 * LEAST + 2 * LEAST - 1) as u64);
        let seen = drain(&mut output, step);
        assert_eq!(without_dots(&seen), expected, "{step} bytes at a time");
        assert!(output.is_empty() && output.cuts.is_empty());
    }
}

#[test]
fn what_leaves_in_one_call_may_end_at_each_byte() {
    let whole = {
        let (output, _) = mixed();
        let parts: Vec<&[u8]> = output.parts().collect();
        assert_eq!(parts.len(), 6, "head, A, small, B, C, mid");
        parts.concat()
    };
    for first in 0..=whole.len() {
        let (mut output, _) = mixed();
        output.sent(first);
        let rest: Vec<u8> = output.parts().collect::<Vec<_>>().concat();
        assert!(rest == whole[first..], "after {first} bytes");
        output.sent(rest.len());
        assert!(output.parts().next().is_none() && matches!(output.next(), Some(Next::File(_))));
        output.sent(2);
        assert_eq!(without_dots(std::str::from_utf8(&output.parts().collect::<Vec<_>>().concat()).unwrap()), "Dtail");
    }
}

#[test]
fn what_is_left_over_keeps_its_stretches_without_a_copy() {
    for cut in 0..2 * LEAST + 20 {
        let (mut input, mut output) = (Input::default(), Output::default());
        output.write(b"head");
        output.share(long(b'A'));
        output.write(b"mid");
        output.share(long(b'B'));
        output.write(b"tail");
        let whole: Vec<u8> = output.parts().collect::<Vec<_>>().concat();
        let places = |output: &Output| {
            output.cuts.iter().map(|cut| cut.stretch.memory().unwrap().as_ptr_range().end).collect::<Vec<_>>()
        };
        output.sent(cut.min(whole.len()));
        let before = (output.pending(), places(&output));
        let mut leftover = Leftover::default();
        leftover.save(&mut input, &mut output);
        assert!(output.is_empty());
        assert_eq!(leftover.unsent(), before.0);
        assert!(leftover.memory() as u64 >= before.0);
        leftover.restore(&mut input, &mut output);
        assert!((output.pending(), places(&output)) == before);
        assert!(output.parts().collect::<Vec<_>>().concat() == whole[cut.min(whole.len())..]);
    }
}

#[test]
fn what_is_shared_takes_room_as_what_is_copied_does() {
    let mut output = Output::default();
    output.write(b"head");
    let before = output.mark();
    output.share(long(b'A'));
    assert_eq!((output.room(), output.since(before)), (BUFFER - LEAST - 4, LEAST as u64));
    output.sent(4 + LEAST - 1);
    assert_eq!((output.room(), output.pending()), (BUFFER - 1, 1));
    for _ in 0..BUFFER / LEAST {
        output.share(long(b'B'));
    }
    assert_eq!(output.room(), 0);
    assert!(!output.has_file());
    output.clear();
    assert_eq!((output.room(), output.pending()), (BUFFER, 0));
}

#[test]
fn a_rollback_takes_back_what_is_shared() {
    let mut output = Output::default();
    output.share(long(b'A'));
    let mark = output.mark();
    output.write(b"b");
    output.share(long(b'C'));
    output.rollback(mark);
    output.write(b"d");
    assert_eq!(without_dots(&drain(&mut output, 7)), "Ad");
}

#[test]
fn a_filter_passes_on_what_is_shared() {
    for most in [1, 1000, BUFFER] {
        let (mut from, mut to) = (Output::default(), Output::default());
        from.write(b"head");
        from.share(long(b'A'));
        from.write(b"tail");
        while from.pass_on(most, &mut to) > 0 {}
        assert!(from.is_empty());
        assert_eq!(without_dots(std::str::from_utf8(to.bytes()).unwrap()), "headAtail");
    }
}

#[test]
fn a_large_input_is_left_over_without_a_copy() {
    let (mut input, mut output, mut leftover) = (Input::default(), Output::default(), Leftover::default());
    input.extend(&[b'a'; BUFFER]);
    input.consume(3);
    let place = input.bytes().as_ptr();
    leftover.save(&mut input, &mut output);
    assert!(input.is_empty());
    assert_eq!(leftover.memory(), BUFFER + RECORD);
    input.extend(b"of another connection");
    input.clear();
    leftover.restore(&mut input, &mut output);
    assert_eq!((input.bytes().len(), input.bytes().as_ptr()), (BUFFER - 3, place));
    input.extend(b"b");
    assert_eq!(input.bytes()[BUFFER - 4..], *b"ab");
}
