//! What the timeline tells of the instant under the cursor, and of a span.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::{Theme, Tone, word};
use crate::dashboard::timeline::Timeline;
use crate::dashboard::view::Foreign;
use crate::dashboard::widgets::strands::clock;
use crate::dashboard::widgets::{Line, first_shown, line_of, take_top, titled, who};
use crate::event::{ThreadKey, file_name};
use crate::model::segments::{Doing, Mix, Passed, Segment, Sharpness, Spells, Stack, Sums};
use crate::model::snapshot::{StateTimes, ThreadState};
use crate::text::{cut, left, right};
use crate::time::{MonoNs, Ns};
use crate::units;

/// So far from the cursor a segment is followed to its ends: no further than it takes to find them.
const AROUND: [Ns; 3] = [Ns(20_000_000), Ns(200_000_000), Ns(2_000_000_000)];
/// Lines of the instant: title, thread, holder.
const INSTANT: u16 = 3;
/// Threads of a span that are wanted on the screen.
const THREADS: usize = 8;
/// Columns of a thread's name, and of a figure.
const NAME: usize = 18;
const FIGURE: usize = 10;

/// Lines it would use.
pub fn wanted(of: &Timeline<'_>) -> u16 {
    match (of.choice.at, of.choice.span()) {
        (None, _) => 1,
        (Some(_), None) => INSTANT,
        (Some(_), Some(_)) => {
            let threads = u16::try_from(of.rows.len().min(THREADS)).unwrap_or(u16::MAX);
            INSTANT.saturating_add(2).saturating_add(threads)
        }
    }
}

/// What is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Detail<'a, 'b> {
    /// Of which timeline.
    pub of: &'b Timeline<'a>,
    /// When the capture began.
    pub start: MonoNs,
}

impl Detail<'_, '_> {
    /// Draws it.
    pub fn draw(&self, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let mut rest = area;
        match self.of.choice.at {
            Some(at) => self.instant(at, theme, take_top(INSTANT, &mut rest), buffer),
            None => {
                let hint = " Left and Right, or a click: a cursor with exact values; Enter, or dragging: a span";
                let mut line = Line::new();
                line.push(cut(hint, usize::from(area.width)), theme.style(Tone::Faint));
                line.draw(take_top(1, &mut rest), buffer);
            }
        }
        if let Some((from, to)) = self.of.choice.span() {
            self.span(from, to, theme, rest, buffer);
        }
    }

    fn clock(&self, at: MonoNs) -> String {
        clock(at, self.start, Ns::MICROSECOND)
    }

    fn instant(&self, at: MonoNs, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let inner = titled(area, buffer, theme, &format!("At {}", self.clock(at)), &[]);
        let Some(thread) = self.of.rows.get(self.of.cursor) else { return };
        let (tag, name, tone) = who::thread(Some(self.of.process), thread.key, NAME);
        let mut line = Line::new();
        line.push(format!(" {tag} "), theme.style(tone));
        line.push(format!("{name}: "), Style::new());
        match self.around(thread.key, at, |all| all.iter().find(|segment| is_in(segment, at)).copied()) {
            Some((segment, within)) => self.told(&segment, within, at, theme, &mut line),
            None if at >= thread.end.unwrap_or(MonoNs(u64::MAX)) => line.push("has ended", theme.style(Tone::Faint)),
            None if at < thread.start => line.push("was not there yet", theme.style(Tone::Faint)),
            None if at < self.of.segments().since() => {
                return self.added_up(thread.key, line, at, theme, inner, buffer);
            }
            None => line.push("not known yet", theme.style(Tone::Faint)),
        }
        line.draw(line_of(inner, 0), buffer);
        self.holder(thread.key, at, theme, line_of(inner, 1), buffer);
    }

    /// What is found among the segments of a thread around an instant, and the time that was looked at: more, if it may go on
    /// beyond it.
    fn around(
        &self,
        thread: ThreadKey,
        at: MonoNs,
        find: impl Fn(&[Segment]) -> Option<Segment>,
    ) -> Option<(Segment, (MonoNs, MonoNs))> {
        let mut widest = None;
        for around in AROUND {
            let (from, to) = (at - around, at + around);
            let all = self.of.segments().of(&[thread], from, to);
            let found = find(all.get(&thread)?)?;
            widest = Some((found, (from, to)));
            if found.from > from && found.to < to {
                break;
            }
        }
        widest
    }

    /// What threads did around an instant of which only sums are kept.
    fn added_up(&self, thread: ThreadKey, mut line: Line, at: MonoNs, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let keys: Vec<ThreadKey> = self.of.segments().lanes().iter().map(|lane| lane.thread).collect();
        let Some(span) = self.of.around(&keys, at) else {
            line.push("what it did is no longer kept", theme.style(Tone::Faint));
            return line.draw(line_of(area, 0), buffer);
        };
        let share = |part: Ns| units::percent(part.share_of(span.length()).unwrap_or(0.0));
        let own = span.sums(thread);
        let states = own.states(span.length());
        let when = format!("in sums of {} from {}:", span.length(), self.clock(span.from));
        line.push(when, theme.style(Tone::Faint));
        let mut parts: Vec<ThreadState> =
            ThreadState::ALL.into_iter().filter(|state| states.get(*state) > Ns::ZERO).collect();
        parts.sort_by_key(|state| std::cmp::Reverse(states.get(*state)));
        for state in parts {
            let spells = match state {
                ThreadState::Waiting => own.waits,
                ThreadState::Running => own.holds,
                _ => Spells::default(),
            };
            line.push(format!("  {} {}", word(state), share(states.get(state))), theme.style(Tone::State(state)));
            if spells.number > 0 {
                line.push(format!(" ({} up to {})", units::count(spells.number), spells.longest), Style::new());
            }
        }
        line.draw(line_of(area, 0), buffer);
        let held = |key: &ThreadKey| span.sums(*key).states(span.length()).holding();
        let mut line = Line::new();
        line.push(" GIL: ", theme.style(Tone::Label));
        match keys.iter().max_by_key(|key| held(key)).filter(|key| held(key) > Ns::ZERO) {
            None => line.push("nobody was seen to hold it", theme.style(Tone::Faint)),
            Some(holder) => {
                let (tag, name, tone) = who::thread(Some(self.of.process), *holder, NAME);
                line.push(format!("{tag} "), theme.style(tone));
                line.push(format!("{name} held it for {}, longer than any other", share(held(holder))), Style::new());
            }
        }
        line.draw(line_of(area, 1), buffer);
    }

    fn told(&self, segment: &Segment, (from, to): (MonoNs, MonoNs), at: MonoNs, theme: Theme, line: &mut Line) {
        match segment.doing {
            Doing::Is(state) => line.push(word(state), theme.style(Tone::State(state))),
            Doing::Mixed(mix) => line.push(mixed(mix), theme.style(Tone::Faint)),
        }
        let since = match segment.from > from && segment.from > self.of.segments().since() {
            true => {
                let how = match segment.begins {
                    Sharpness::Switch => "recorded",
                    Sharpness::Tick => "between two looks",
                };
                format!(" since {} ({how})", self.clock(segment.from))
            }
            false => format!(" for over {}", at.since(segment.from)),
        };
        line.push(since, Style::new());
        let until = self.of.segments().until();
        let length = match segment.to < to && segment.to < until {
            true => format!(", {} of {}", at.since(segment.from), segment.length()),
            false => format!(", so far {}", at.since(segment.from)),
        };
        line.push(length, Style::new());
        if let Some(cpu) = segment.cpu {
            line.push(format!(", core {}", cpu.0), Style::new());
        }
    }

    /// Who held the GIL that a thread takes, and what it executed.
    fn holder(&self, thread: ThreadKey, at: MonoNs, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let lanes = self.of.segments().lanes();
        let gils = |key: ThreadKey| lanes.iter().find(|lane| lane.thread == key).map(|lane| lane.gils.as_slice());
        let own = gils(thread).unwrap_or_default();
        let mut line = Line::new();
        line.push(" GIL: ", theme.style(Tone::Label));
        let shares = |key: &ThreadKey| gils(*key).unwrap_or_default().iter().any(|gil| own.contains(gil));
        // Everybody at that instant, and then one for as long as it may have held.
        let now = self.of.segments().all(at, at + Ns(1));
        let mut holders = now.iter().filter(|(key, segments)| shares(key) && hold(segments, at).is_some());
        let held = holders.find_map(|(key, _)| {
            let (hold, _) = self.around(*key, at, |all| hold(all, at))?;
            Some((*key, hold))
        });
        match held {
            None if own.is_empty() => line.push("it takes none", theme.style(Tone::Faint)),
            None => line.push("nobody was seen to hold it", theme.style(Tone::Faint)),
            Some((holder, hold)) => {
                let (tag, name, tone) = who::thread(Some(self.of.process), holder, NAME);
                line.push(format!("{tag} "), theme.style(tone));
                line.push(format!("{name} holds it since {}", self.clock(hold.from)), Style::new());
                match self.of.executed(&hold, holder, at) {
                    None => line.push(", its stack was not sampled then", theme.style(Tone::Faint)),
                    Some(sample) => {
                        let off = match sample.at < at {
                            true => format!("{} earlier", at.since(sample.at)),
                            false => format!("{} later", sample.at.since(at)),
                        };
                        let stack = self.of.segments().stack(sample.stack).map_or_else(String::new, functions);
                        let room = usize::from(area.width).saturating_sub(line.width() + off.len() + 7);
                        line.push(format!(" in {}", cut(&stack, room)), theme.style(Tone::Strong));
                        line.push(format!(" ({off})"), theme.style(Tone::Faint));
                    }
                }
            }
        }
        line.draw(area, buffer);
    }

    fn span(&self, from: MonoNs, to: MonoNs, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let rows = usize::from(area.height.saturating_sub(2));
        let first = first_shown(self.of.cursor, self.of.rows.len(), rows);
        let keys: Vec<ThreadKey> = self.of.rows.iter().skip(first).take(rows).map(|thread| thread.key).collect();
        let span = self.of.span(&keys, from, to);
        let passed = span.passed();
        let Passed { seen, forced, unclear, missed } = passed;
        let counted = units::count(passed.counted());
        let handoffs = match missed {
            0 => (format!("{counted} handoffs:"), Tone::Plain),
            _ => (format!("{} of {counted} handoffs seen:", units::count(seen)), Tone::Warn),
        };
        // Of those that were not seen one by one, nobody knows.
        let forced = match (forced, unclear + missed) {
            (forced, 0) => format!("{} forced", units::count(forced)),
            (0, _) => "forced not known".to_owned(),
            (forced, _) => format!("at least {} forced", units::count(forced)),
        };
        let mut remarks = vec![
            (format!("{} to {},", self.clock(span.from), self.clock(span.to)), Tone::Faint),
            (format!("{},", span.length()), Tone::Strong),
            handoffs,
            (forced, Tone::Plain),
        ];
        if unclear > 0 {
            remarks.push((format!("{} unclear", units::count(unclear)), Tone::Plain));
        }
        let since = self.of.segments().since();
        match span.bins {
            Some(width) => remarks.push((format!("in sums of {width}"), Tone::Warn)),
            None if from < since => remarks.push((format!("known from {} on", self.clock(since)), Tone::Warn)),
            None => {}
        }
        let inner = titled(area, buffer, theme, "Span", &remarks);
        let width = usize::from(inner.width);
        let columns: Vec<&str> = [
            "holds",
            "number",
            "longest",
            "waits",
            "number",
            "longest",
            "off-cpu",
            "hands over",
            "native",
            "runnable",
            "idle",
            "unknown",
        ]
        .into_iter()
        .take(width.saturating_sub(NAME + 4) / (FIGURE + 1))
        .collect();
        let mut head = Line::new();
        head.push(left("", NAME + 4), Style::new());
        for title in &columns {
            head.push(format!(" {}", right(title, FIGURE)), theme.style(Tone::Label));
        }
        head.draw(line_of(inner, 0), buffer);
        for (number, key) in keys.iter().enumerate() {
            let sums = span.sums(*key);
            let figures = Figures { states: sums.states(span.length()), sums };
            let (tag, name, tone) = who::thread(Some(self.of.process), *key, NAME);
            let mut line = Line::new();
            line.push(format!(" {tag} "), theme.style(tone));
            line.push(format!("{} ", left(&name, NAME)), Style::new());
            for column in columns.iter().enumerate().map(|(place, _)| figures.column(place)) {
                line.push(format!(" {}", right(&column, FIGURE)), Style::new());
            }
            let place = line_of(inner, number + 1);
            line.draw(place, buffer);
            if first + number == self.of.cursor {
                let name = Rect { width: place.width.min(NAME as u16 + 3), ..place };
                buffer.set_style(name.intersection(buffer.area), theme.style(Tone::Selected));
            }
        }
    }
}

/// What a thread did in a span.
#[derive(Debug, Clone, Copy)]
struct Figures {
    states: StateTimes,
    sums: Sums,
}

impl Figures {
    /// What stands in a column of the span's table; nothing where there was nothing.
    fn column(&self, place: usize) -> String {
        let time = |length: Ns| if length == Ns::ZERO { String::new() } else { length.to_string() };
        let number = |n: u64| if n == 0 { String::new() } else { units::count(n) };
        match place {
            0 => time(self.states.holding()),
            1 => number(self.sums.holds.number),
            2 => time(self.sums.holds.longest),
            3 => time(self.states.waiting),
            4 => number(self.sums.waits.number),
            5 => time(self.sums.waits.longest),
            6 => time(self.states.holding_off_cpu),
            7 => time(self.states.handing_over),
            8 => time(self.states.native),
            9 => time(self.states.runnable),
            10 => time(self.states.idle),
            _ => time(self.states.unknown),
        }
    }
}

fn is_in(segment: &Segment, at: MonoNs) -> bool {
    segment.from <= at && segment.to > at
}

/// The hold that an instant lies in: pieces of it follow each other, on a core and off it.
fn hold(segments: &[Segment], at: MonoNs) -> Option<Segment> {
    let holds =
        |segment: &Segment| matches!(segment.doing, Doing::Is(ThreadState::Running | ThreadState::HoldingOffCpu));
    let place = segments.iter().position(|segment| is_in(segment, at))?;
    let mut hold = *segments.get(place).filter(|segment| holds(segment))?;
    for earlier in segments.iter().take(place).rev().take_while(|segment| holds(segment)) {
        (hold.from, hold.begins) = (earlier.from, earlier.begins);
    }
    for later in segments.iter().skip(place + 1).take_while(|segment| holds(segment)) {
        hold.to = later.to;
    }
    Some(hold)
}

fn mixed(mix: Mix) -> String {
    let share = |parts: u16| units::percent(f64::from(parts) / f64::from(Mix::WHOLE));
    let parts = [(mix.running, "holds"), (mix.native, "native"), (mix.runnable, "runnable")];
    let told: Vec<String> =
        parts.into_iter().filter(|(part, _)| *part > 0).map(|(part, name)| format!("{name} {}", share(part))).collect();
    format!("not known when what: {} on average", told.join(", "))
}

/// The innermost functions of a stack.
fn functions(stack: &Stack) -> String {
    const SHOWN: usize = 4;
    let frames: Vec<String> = stack
        .iter()
        .take(SHOWN)
        .map(|frame| {
            let (function, file) = (Foreign::new(&frame.function), Foreign::new(file_name(&frame.file)));
            format!("{} {}:{}", function.fit(40), file.fit(30), frame.line)
        })
        .collect();
    frames.join(" < ")
}
