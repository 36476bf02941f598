//! The progress of a transfer, as a line on a terminal.
//!
//! It uses the loop's clock, like everything here. The crates that draw such lines have
//! clocks and threads of their own.

use std::time::Duration;

use crate::reactor::Tick;
use crate::text::size;

/// How often the progress is redrawn: as often as an eye can distinguish numbers.
pub(super) const REDRAW: Duration = Duration::from_millis(100);

/// The width of the bar in characters.
const WIDTH: u64 = 24;

/// When the line was drawn last, and when the progress began.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The time of the first line, and the bytes that were there before.
    begun: Option<(Tick, u64)>,
    drawn: Option<Tick>,
    over: bool,
}

impl Progress {
    /// The line for `done` bytes of `total`, if one is due; the `last` one stays.
    pub(super) fn line(&mut self, done: u64, total: Option<u64>, now: Tick, last: bool) -> Option<String> {
        let due = self.drawn.is_none_or(|drawn| now.since(drawn) >= REDRAW);
        if self.over || !(due || last) {
            return None;
        }
        (self.drawn, self.over) = (Some(now), last);
        let (since, before) = *self.begun.get_or_insert((now, done));
        // Go to the start of the line, and erase what was there.
        let mut line = format!("\r\x1b[K{}", draw(done, total, done - before.min(done), now.since(since)));
        if last {
            line.push('\n');
        }
        Some(line)
    }
}

fn draw(done: u64, total: Option<u64>, moved: u64, elapsed: Duration) -> String {
    let rate = moved as f64 / elapsed.as_secs_f64().max(0.001);
    let speed = format!("{}/s", size::shown(rate as u64));
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{}  {speed}", size::shown(done)) };
    let part = |of: u64| u64::try_from(u128::from(done.min(total)) * u128::from(of) / u128::from(total)).unwrap_or(of);
    let bar = "#".repeat(part(WIDTH) as usize);
    let mut line = format!(
        "{:>3} % [{bar:-<width$}] {} of {}  {speed}",
        part(100),
        size::shown(done),
        size::shown(total),
        width = WIDTH as usize
    );
    if rate >= 1.0 && done < total {
        line += &format!("  {:.0} s left", (total - done) as f64 / rate);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    #[test]
    fn a_line_is_drawn_when_it_is_due_and_the_last_one_stays() {
        let mut progress = Progress::default();
        assert!(progress.line(0, Some(100), at(0), false).is_some());
        assert_eq!(progress.line(10, Some(100), at(50), false), None);
        assert!(progress.line(20, Some(100), at(100), false).is_some());
        let last = progress.line(100, Some(100), at(110), true).unwrap();
        assert!(last.starts_with("\r\x1b[K100 % [") && last.ends_with('\n'), "{last:?}");
        assert_eq!(progress.line(100, Some(100), at(500), true), None);
    }

    #[test]
    fn a_line_shows_size_speed_and_time_left() {
        for (done, total, moved, seconds, expected) in [
            (50, Some(100), 50, 1, " 50 % [############------------] 50 B of 100 B  50 B/s  1 s left"),
            (2048, Some(2048), 1024, 1, "100 % [########################] 2.0 KiB of 2.0 KiB  1.0 KiB/s"),
            (0, Some(1 << 40), 0, 0, "  0 % [------------------------] 0 B of 1.0 TiB  0 B/s"),
            (5 << 20, None, 5 << 20, 2, "5.0 MiB  2.5 MiB/s"),
            (u64::MAX, Some(u64::MAX), 0, 1, "100 % [########################] 16.0 EiB of 16.0 EiB  0 B/s"),
            (7, Some(0), 7, 1, "7 B  7 B/s"),
        ] {
            assert_eq!(draw(done, total, moved, Duration::from_secs(seconds)), expected);
        }
    }
}
